"""The strategy that a configuration asks for, and its JSON value in a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.cost.price import IN_MACS, Known, Price, nothing
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.statistics import Metric
from expand3d.study.config import SAMPLERS, StudyConfig

StudyStrategy = Expansion | Sampling


def configured(
    config: StudyConfig,
    *,
    budget: int,
    limits: Limits,
    start: Genotype,
    num_classes: int,
    metric: Metric,
    spend: int | None = None,
    price: Price = IN_MACS,
) -> StudyStrategy:
    """The configuration's strategy on this data; `spend` as `Sampling` has it."""
    if config.strategy in SAMPLERS:
        return Sampling(
            sampler=config.strategy,
            family=start.family,
            num_classes=num_classes,
            budget=budget,
            limits=limits,
            start=start,
            metric=metric,
            seed=config.seed,
            trials=config.trials,
            batch=config.batch,
            spend=spend,
            price=price,
        )
    return Expansion(
        family=start.family,
        num_classes=num_classes,
        budget=budget,
        limits=limits,
        start=start,
        schedule=config.schedule,  # type: ignore[arg-type]
        metric=metric,
        seed=config.seed,
        ratio=config.ratio,
        beam=config.beam,
        growth=config.growth,  # type: ignore[arg-type]
        price=price,
    )


def strategy_to_json(strategy: StudyStrategy) -> dict[str, Any]:
    """Everything of the strategy but what it knows of latencies, which the record keeps by itself.

    An expansion's solver is left out too: it is always the same in a study.
    """
    data = {
        item.name: getattr(strategy, item.name)
        for item in dataclasses.fields(strategy)
        if item.name != "solver"
    }
    limits = {**dataclasses.asdict(strategy.limits), "first_clip": list(strategy.limits.first_clip)}
    start = strategy.start.to_json() if strategy.start else None
    price = strategy.price.to_json()
    changed: dict[str, Any] = {"limits": limits, "start": start, "price": price}
    if isinstance(strategy, Expansion):
        changed["axes"] = list(strategy.axes) if strategy.axes else None
    return {**data, **changed}


def with_latencies(strategy: StudyStrategy, known: Known) -> StudyStrategy:
    """The same strategy, which reads measured latencies from `known`."""
    price = dataclasses.replace(strategy.price, known=known)
    return dataclasses.replace(strategy, price=price)


def strategy_from_json(data: Mapping[str, Any], *, known: Known = nothing) -> StudyStrategy:
    """The strategy that `strategy_to_json` wrote; only a sampler's names its sampler.

    `known` gives the latencies that were measured. Older records count multiply-adds.
    """
    price = Price.from_json(data["price"], known=known) if "price" in data else IN_MACS
    limits = {**data["limits"], "first_clip": tuple(data["limits"]["first_clip"])}
    common = {
        **data,
        "limits": Limits(**limits),
        "start": Genotype.from_json(data["start"]) if data["start"] else None,
        "price": price,
    }
    if "sampler" in data:
        return Sampling(**common)
    return Expansion(**{**common, "axes": tuple(data["axes"]) if data["axes"] else None})
