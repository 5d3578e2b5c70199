"""Searches restricted by a named test of plans: every strategy proposes only what it allows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest

from expand3d.core.budget import parse_budget
from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugins import FAMILIES, RESTRICTIONS
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import Unmeasured
from expand3d.networks import get_family
from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.family import Limits
from expand3d.search.expansion.compound import compound
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.solve import Exhausted, Solution, contract, solve
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.search.strategy import Done, Strategy, drive, expand_all
from tests.helpers.restrictions import COARSE, NOTHING, ONLY_THE_BASE
from tests.helpers.strategies import BUDGET, LIMITS, NAMES, make, scored
from tests.search.test_latency_search import Lab, price_of

X3D = get_family("x3d")
BASE = X3D.resolve(X3D.base, num_classes=6)
RESTRICTED = dataclasses.replace(LIMITS, restrictions=(COARSE,))
SMALL = BUDGET // 2
#: A Gaussian process takes seconds per network.
MODELS = ("gp", "tpe")
OFTEN = [*(n for n in NAMES if n not in MODELS)]
OFTEN += [pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
#: Further variants of the expansion beside those of the contract tests.
MORE: dict[str, dict[str, object]] = {
    "paper": {"schedule": "paper"},
    "paper-compound": {"schedule": "paper", "growth": "compound"},
}


def coarse(plan: Plan) -> bool:
    """True where the restriction allows it, computed anew."""
    assert isinstance(plan, X3DPlan)
    return (
        sum(inner % 2 for inner in plan.inners) == 0
        and plan.frames in (1, 2, 4, 8, 16, 32, 64)
        and plan.crop in range(16, 1000, 16)
    )


def strategy_of(name: str, limits: Limits) -> Strategy:
    if name in MORE:
        return Expansion("x3d", 6, SMALL, limits, **MORE[name])  # type: ignore[arg-type]
    made = make(name, budget=SMALL)
    assert isinstance(made, (Expansion, Sampling))
    return dataclasses.replace(made, limits=limits)


def plans(strategy: Strategy) -> list[Plan]:
    return [trial.candidate.plan for trial in expand_all(strategy, scored)]


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in OFTEN if name not in ("both", "paper-all")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("both", "paper-all")),
        *MORE,
    ],
)
def test_only_what_the_restriction_allows_is_proposed(name: str) -> None:
    strategy = strategy_of(name, RESTRICTED)
    history = expand_all(strategy, scored)
    assert len(history) >= 3 and all(coarse(trial.candidate.plan) for trial in history)
    result = strategy.result(history)
    assert result is not None and result.candidate.macs > 2 * X3D.cost(BASE).macs
    assert isinstance(strategy.ask(history), Done)
    for future in strategy.futures():
        assert all(coarse(c.plan) for offer in future for c in offer.candidates)


@pytest.mark.parametrize("name", ["expand", "compound", "paper-all", "random", "grid", "tpe"])
def test_without_it_the_same_searches_propose_other_networks(name: str) -> None:
    assert not all(coarse(plan) for plan in plans(strategy_of(name, LIMITS)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("expand", text) for text in ("16ms", "0.2GFLOPs,12ms", "3Mparams")),
        *(("random", text) for text in ("16ms", "0.2GFLOPs,12ms", "3Mparams")),
        ("tpe", "16ms"),
    ],
)
def test_no_refused_network_is_measured(kind: str, text: str) -> None:
    lab = Lab()
    lab.measure(BASE)
    fields = {"limits": RESTRICTED, "price": price_of(text, lab)}
    budget = parse_budget(text).first.amount
    strategy: Strategy = (
        Expansion("x3d", 6, budget, **fields)  # type: ignore[arg-type]
        if kind == "expand"
        else Sampling(kind, "x3d", 6, budget, trials=5, **fields)  # type: ignore[arg-type]
    )
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        history.extend(
            dataclasses.replace(scored(candidate), number=len(history) + place)
            for place, candidate in enumerate(candidates)
        )

    drive(strategy, lambda: history, answer, measure=lab.measure)
    assert len(history) >= 3
    assert all(coarse(plan) for plan in [*lab.order, *(t.candidate.plan for t in history)])


def options(limits: Limits, **changed: object) -> dict[str, object]:
    target = 2 * X3D.cost(BASE).macs
    return {"target": target, "ceiling": None, "limits": limits, "num_classes": 6, **changed}


@pytest.mark.parametrize("axis", X3D.axes)
@pytest.mark.parametrize("times", [1.5, 2.0, 3.0])
def test_an_axis_takes_the_allowed_setting_that_is_nearest(axis: str, times: float) -> None:
    start = X3D.base.replace(gamma_t=4, gamma_tau=8)
    target = round(times * X3D.cost(X3D.resolve(start, num_classes=6)).macs)
    found = solve(X3D, axis, start, **options(RESTRICTED, target=target))  # type: ignore[arg-type]
    costs = [
        X3D.cost(plan).macs
        for plan in (X3D.resolve(g, num_classes=6) for g in X3D.grow(axis, start, LIMITS))
        if coarse(plan)
    ]
    if not isinstance(found, Solution):
        least = 1.05 * X3D.cost(X3D.resolve(start, num_classes=6)).macs
        assert not [cost for cost in costs if cost >= least]
        return
    assert coarse(found.plan)
    nearest = min(max(cost / target, target / cost) for cost in costs)
    assert max(found.macs / target, target / found.macs) == pytest.approx(nearest)


@pytest.mark.parametrize("axis", X3D.axes)
def test_contraction_takes_the_costliest_allowed(axis: str) -> None:
    start = X3D.base.replace(
        gamma_t=16, gamma_tau=4, gamma_s=2, gamma_d=3, gamma_b=2.25, gamma_w=1.5
    )
    cost = X3D.cost(X3D.resolve(start, num_classes=6)).macs
    found = contract(X3D, axis, start, budget=round(0.8 * cost), limits=RESTRICTED, num_classes=6)
    inside = [
        X3D.cost(plan).macs
        for plan in (X3D.resolve(g, num_classes=6) for g in X3D.shrink(axis, start))
        if coarse(plan) and X3D.cost(plan).macs <= 0.8 * cost
    ]
    if inside:
        assert isinstance(found, Solution) and coarse(found.plan) and found.macs == max(inside)
    else:
        assert isinstance(found, Exhausted)


def test_the_reason_names_what_was_refused() -> None:
    limits = dataclasses.replace(LIMITS, restrictions=(ONLY_THE_BASE,))
    said = "refused: it is larger than X2D"
    assert solve(X3D, "gamma_w", X3D.base, **options(limits)) == Exhausted(said)  # type: ignore[arg-type]
    together = compound(X3D, X3D.axes, X3D.base, price=price_of("1G", Lab()), **options(limits))  # type: ignore[arg-type]
    assert isinstance(together, Exhausted) and said in together.reason
    wide = X3D.base.replace(gamma_b=3, gamma_w=2)
    back = contract(X3D, "gamma_b", wide, budget=10**12, limits=limits, num_classes=6)
    assert back == Exhausted(f"cannot be contracted to lie under the budget ({said})")
    lab = Lab()
    lab.measure(BASE)
    timed = options(limits, target=10**7, ceiling=10**8, price=price_of("100ms", lab))
    assert solve(X3D, "gamma_w", X3D.base, **timed) == Exhausted(said)  # type: ignore[arg-type]
    assert len(lab.order) == 1


#: Samplers that try a thousand draws first; one of them is enough for every time.
PATIENT = ("qmc", "tpe")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in PATIENT else ())
        for name in (*NAMES, *MORE)
        if name != "gp"
    ],
)
def test_a_search_that_finds_nothing_says_why(name: str) -> None:
    strategy = strategy_of(name, dataclasses.replace(LIMITS, restrictions=(ONLY_THE_BASE,)))
    history = expand_all(strategy, scored)
    assert [trial.candidate.plan for trial in history] == [BASE]
    ended = strategy.ask(history)
    assert isinstance(ended, Done)
    if name == "grid":
        assert "networks of the grid that are allowed" in ended.reason
    else:
        assert "it is larger than X2D" in ended.reason


def test_what_grows_from_one_network_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of points grow from the base, which has about a thousand settings of an axis."""
    asked: list[Plan] = []
    refusal = Limits.refusal

    def counted(self: Limits, plan: Plan) -> str | None:
        asked.append(plan)
        return refusal(self, plan)

    monkeypatch.setattr(Limits, "refusal", counted)
    limits = dataclasses.replace(LIMITS, restrictions=(ONLY_THE_BASE,))
    strategy = Sampling("random", "x3d", 6, SMALL + 1, limits, trials=14)
    assert len(expand_all(strategy, scored)) == 1
    assert 300 < len(asked) < 10_000


def test_a_base_that_is_refused_is_said_at_once() -> None:
    for name in ("expand", "random"):
        with pytest.raises(ConfigError, match="refuse the base network: no network is good"):
            strategy_of(name, dataclasses.replace(LIMITS, restrictions=(COARSE, NOTHING)))


def test_an_unknown_restriction_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown restriction 'pytorchvide'.*pytorchvideo"):
        Limits(restrictions=("pytorchvide",)).refusal(BASE)


def test_the_record_keeps_their_names_and_nothing_where_there_are_none() -> None:
    for name in ("expand", "qmc"):
        strategy = strategy_of(name, RESTRICTED)
        text = json.dumps(strategy_to_json(strategy))
        again = strategy_from_json(json.loads(text))
        assert again == strategy and COARSE in text
        assert plans(again) == plans(strategy)
        free = strategy_to_json(strategy_of(name, LIMITS))
        assert free["limits"] == {"crop": 240, "duration": 90, "first_clip": [2, 14]}
        assert f"only networks that {COARSE} allows" in strategy.limits_text()


@pytest.mark.parametrize("name", RESTRICTIONS)
def test_every_restriction_judges_any_familys_networks(name: str) -> None:
    refusal = RESTRICTIONS.load(name)
    for family in map(get_family, FAMILIES):
        reason = refusal(family.resolve(family.base, num_classes=6))
        assert reason is None or reason.strip()


def test_pytorchvideo_refuses_what_create_x3d_cannot_build() -> None:
    limits = Limits(restrictions=("pytorchvideo",))
    assert limits.refusal(BASE) is None
    small: Genotype = X3D.base.replace(gamma_s=24 / 112)
    reason = limits.refusal(dataclasses.replace(BASE, crop=24))
    assert reason is not None and "crop = 24" in reason, small
    other = get_family("c3d")
    reason = limits.refusal(other.resolve(other.base))
    assert reason is not None and "family = 'c3d'" in reason


def test_a_latency_that_is_missing_is_asked_for_only_where_it_is_allowed() -> None:
    lab = Lab()
    lab.measure(BASE)
    with pytest.raises(Unmeasured) as missing:
        solve(  # type: ignore[call-overload]
            X3D,
            "gamma_b",
            X3D.base,
            **options(RESTRICTED, target=10**7, ceiling=10**8, price=price_of("100ms", lab)),
        )
    assert coarse(missing.value.plan)
