"""A strategy that was saved offers what the original offers."""

from __future__ import annotations

import json

import pytest

from expand3d.networks import get_preset
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategies import strategy_from_json, strategy_to_json


@pytest.mark.parametrize(
    "strategy",
    [
        Expansion("x3d", 6, 10**8),
        Expansion(
            "x3d",
            400,
            4 * 10**9,
            Limits(crop=232, duration=77, first_clip=(3, 9)),
            start=get_preset("x3d-xs").genotype,
            schedule="paper",
            metric="top1",
            seed=5,
            ratio=1.7,
            axes=("gamma_t", "gamma_w"),
        ),
    ],
)
def test_round_trip_through_json_text(strategy: Expansion) -> None:
    back = strategy_from_json(json.loads(json.dumps(strategy_to_json(strategy))))
    assert back == strategy
    assert back.ask(()) == strategy.ask(())
