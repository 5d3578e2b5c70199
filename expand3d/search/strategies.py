"""The strategy that a configuration asks for, and its JSON value in a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from expand3d.core.plugins import STRATEGIES
from expand3d.cost.price import Known, nothing
from expand3d.search.strategy import Given, Strategy
from expand3d.study.strategy_keys import EXPAND

#: The key under which a record names a strategy that is none of ours.
OWN = "strategy"


def configured(given: Given) -> Strategy:
    """The strategy that the configuration names, on this data."""
    strategy: Strategy = STRATEGIES.load(given.config.strategy).configured(given)
    return strategy


def strategy_to_json(strategy: Strategy, name: str = EXPAND) -> dict[str, Any]:
    """All of the strategy called `name` but the latencies, which the record keeps by itself."""
    data = strategy.to_json()
    return data if name in STRATEGIES else {**data, OWN: name}


def strategy_from_json(data: Mapping[str, Any], *, known: Known = nothing) -> Strategy:
    """The strategy that `strategy_to_json` wrote; only a sampler's names its sampler.

    `known` gives the latencies that were measured.
    """
    name = data.get(OWN) or data.get("sampler") or EXPAND
    kept = {key: value for key, value in data.items() if key != OWN}
    strategy: Strategy = STRATEGIES.load(name).from_json(kept, known=known)
    return strategy


def with_latencies(strategy: Strategy, known: Known) -> Strategy:
    """The same strategy, which reads measured latencies from `known`."""
    return strategy.with_price(dataclasses.replace(strategy.price, known=known))
