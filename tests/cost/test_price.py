"""The price of networks: amounts, limits beside them, and latencies that are data."""

from __future__ import annotations

import json

import pytest

from expand3d.core.budget import parse_budget
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.cost.price import Price, Unmeasured, nothing
from expand3d.networks import get_family, get_preset

X3D = get_family("x3d")
S = X3D.resolve(get_preset("x3d-s").genotype)
XS = X3D.resolve(get_preset("x3d-xs").genotype)


def latency(median: float) -> Latency:
    return Latency(median, 0.9 * median, 1.2 * median, 30, "cpu", "abacus", 1, "float32")


def price(text: str, known: dict[str, float] | None = None) -> Price:
    found = known or {}

    def look_up(plan: Plan) -> Latency | None:
        return latency(found[plan.digest]) if plan.digest in found else None

    budget = parse_budget(text)
    return Price.of_budget(budget, device="cpu", threads=2, known=look_up)


def test_amounts_of_x3d_s() -> None:
    """Multiply-adds and parameters as PySlowFast's model zoo prints them, exactly."""
    assert f"{price('4GFLOPs').of(S) / 1e9:.2f}" == "1.96"
    assert price("4Mparams").of(S) == 3_794_322
    # x3d-xs and -s are one network on 4 and 13 frames; squeezes and the head see no frames.
    assert price("4Mparams").of(XS) == price("4Mparams").of(S)
    assert price("20Mactivations").of(S) == pytest.approx(
        13 / 4 * price("1Mactivations").of(XS), rel=1e-3
    )


def test_memory_by_hand() -> None:
    """The base of X3D: no output is larger than conv1's, 24 channels of 56 x 56 positions."""
    base = X3D.resolve(X3D.base)
    params = price("4Mparams").of(base)
    assert price("1GiB").of(base) == 4 * (params + 3 * 24 * 56 * 56)


def test_limits_beside_the_first() -> None:
    assert price("4GFLOPs").over(S) is None
    assert price("4GFLOPs,3794.322Kparams").over(S) is None
    assert price("4GFLOPs,3.7Mparams").over(S) == "3.794 Mparams"
    # Arithmetic comes first: what it refuses is never measured.
    assert price("4GFLOPs,25ms,3.7Mparams").over(S) == "3.794 Mparams"
    with pytest.raises(Unmeasured) as missing:
        price("4GFLOPs,25ms").over(S)
    assert missing.value.plan == S
    assert price("4GFLOPs,25ms", {S.digest: 25.0}).over(S) is None
    assert price("4GFLOPs,25ms", {S.digest: 26.0}).over(S) == "26 ms"


def test_the_clock_is_the_budgets_or_the_studys() -> None:
    assert price("4GFLOPs").clock is None
    clock = price("25ms").clock
    assert clock is not None and (clock.device, clock.threads) == ("cpu", 2)
    clock = price("4G,25ms@cuda:1").clock
    assert clock is not None and clock.device == "cuda:1"


def test_what_a_candidate_keeps() -> None:
    assert price("4GFLOPs").fields(S)["price"] is None
    assert price("4GFLOPs").fields(S)["latency"] is None
    kept = price("25ms", {S.digest: 20.0}).fields(S)
    assert kept["price"] == 20_000_000 and kept["latency"] == latency(20.0)
    assert f"{kept['macs'] / 1e9:.2f}" == "1.96"


def test_guesses_grow_with_the_activations() -> None:
    guess = price("25ms", {XS.digest: 4.0}).guessed(XS)
    assert guess.of(XS) == 4_000_000
    assert guess.of(S) == pytest.approx(13_000_000, rel=1e-3)  # 13 frames for 4
    with pytest.raises(Unmeasured):
        price("25ms").guessed(XS)
    arithmetic = price("4GFLOPs")
    assert arithmetic.guessed(XS) is arithmetic


@pytest.mark.parametrize("text", ["4GFLOPs", "25ms@cuda,2GiB", "3.8Mparams,4G,30ms"])
def test_round_trip_through_json_text(text: str) -> None:
    before = price(text)
    back = Price.from_json(json.loads(json.dumps(before.to_json())), known=nothing)
    assert back.to_json() == before.to_json()
    assert back.quantity is before.quantity and back.clock == before.clock
    assert [(a.quantity, a.amount) for a in back.also] == [
        (a.quantity, a.amount) for a in before.also
    ]
