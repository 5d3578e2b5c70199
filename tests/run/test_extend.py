"""The keys that may grow in a study that is there, and what the strategy takes over."""

from __future__ import annotations

import dataclasses

import pytest

from expand3d.core.errors import StudyError
from expand3d.cost.price import Price
from expand3d.networks.family import Limits
from expand3d.run.extend import growth
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.study.config import StudyConfig

BEFORE = StudyConfig(
    budget="1GFLOPs,25ms@cuda", name="birds", strategy="tpe", trials=30, training_limit="2TMACs"
)


@pytest.mark.parametrize(
    ("changes", "grown"),
    [
        ({}, {}),
        ({"budget": "1000M,25ms@cuda"}, {}),
        ({"budget": "2G,25ms@cuda"}, {"budget": "2G,25ms@cuda"}),
        ({"budget": "1G,30ms@cuda", "trials": 31}, {"budget": "1G,30ms@cuda", "trials": 31}),
        ({"training_limit": "2000 GMACs"}, {}),
        ({"training_limit": "2.1TMACs"}, {"training_limit": "2.1TMACs"}),
        ({"training_limit": None}, {"training_limit": None}),
    ],
)
def test_what_becomes_more_grows(changes: dict[str, object], grown: dict[str, object]) -> None:
    assert growth(BEFORE, dataclasses.replace(BEFORE, **changes)) == grown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": "2G,24ms@cuda"}, "has the budget 1GFLOPs,25ms@cuda, and 2G,24ms@cuda is less"),
        ({"budget": "2G"}, "'2G' limits multiply-adds;"),
        ({"budget": "25ms@cuda,2G"}, "counts multiply-adds and milliseconds on cuda"),
        ({"budget": "2G,25ms"}, "'2G,25ms' limits multiply-adds and milliseconds;"),
        ({"training_limit": "1.9T"}, "has training_limit = 2TMACs, and 1.9T is less"),
        ({"trials": 29}, "has trials = 30, and 29 is less"),
    ],
)
def test_what_becomes_less_or_another_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        growth(BEFORE, dataclasses.replace(BEFORE, **changes))  # type: ignore[arg-type]


def test_a_strategy_takes_over_larger_limits_and_nothing_else() -> None:
    kept = Expansion("x3d", 6, 10**8, Limits(crop=160), beam=2, seed=4)
    same = dataclasses.replace(kept, limits=Limits(crop=200), seed=5, price=Price())
    assert kept.extended(same) == kept  # no more is allowed, so nothing moves
    more = dataclasses.replace(same, budget=2 * 10**8)
    wanted = dataclasses.replace(kept, budget=2 * 10**8, limits=Limits(crop=200))
    assert kept.extended(more) == wanted
    sampler = Sampling("tpe", "x3d", 6, 10**8, trials=9, batch=2)
    longer = dataclasses.replace(sampler, trials=12, batch=3)
    assert sampler.extended(longer) == dataclasses.replace(sampler, trials=12)
