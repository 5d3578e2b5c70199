"""The training limit of a sampler whose trainings read smaller clips first."""

from __future__ import annotations

import dataclasses
import json

import pytest

from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.search.strategy import expand_all
from tests.helpers.strategies import make, scored

X3D = get_family("x3d")
BY_SHAPE = (240, 256, 256, 256)


def mean(plan: Plan) -> int:
    """Multiply-adds of the mean clip, of whole frames and sides that are multiples of 8."""
    half, quarter = max(1, plan.frames // 2), max(1, plan.frames // 4)
    small = round(plan.crop / 2**0.5 / 8) * 8
    sizes = [(quarter, small), (half, small), (half, plan.crop), (plan.frames, plan.crop)]
    costs = [X3D.cost(dataclasses.replace(plan, frames=t, crop=s)).macs for t, s in sizes]
    return sum(cost * count for cost, count in zip(costs, BY_SHAPE, strict=True)) // 1008


@pytest.mark.parametrize("batch", [1, 3])
def test_the_limit_counts_what_smaller_clips_cost(batch: int) -> None:
    spend = 900_000_000
    strategy = make("random", batch=batch, spend=spend, multigrid="long", by_shape=BY_SHAPE)
    history = expand_all(strategy, scored)
    spent = [mean(trial.candidate.plan) for trial in history]
    last = [t for t in history if t.candidate.step == history[-1].candidate.step]
    assert sum(spent) >= spend > sum(spent[: -len(last)])
    of_whole_clips = expand_all(make("random", batch=batch, spend=spend), scored)
    assert [t.candidate for t in of_whole_clips] == [
        t.candidate for t in history[: len(of_whole_clips)]
    ]
    assert len(of_whole_clips) < len(history)


def test_it_is_stored_where_it_is_asked_for() -> None:
    plain = strategy_to_json(make("random"))
    assert not {"by_shape", "multigrid"} & plain.keys()
    strategy = make("random", multigrid="long", by_shape=BY_SHAPE)
    assert strategy_from_json(json.loads(json.dumps(strategy_to_json(strategy)))) == strategy
