"""The third stage of preparing: how far networks may grow on this data, and who proposes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from expand3d.core.measured import Latency
from expand3d.core.result import TRAINING_FACTOR
from expand3d.cost.price import Known, Price
from expand3d.data.check import CheckReport
from expand3d.networks.family import Limits
from expand3d.run.budget import held_to, largest_crop, means
from expand3d.run.events import Watch
from expand3d.run.prepare.bench import Benches
from expand3d.run.prepare.data import Clips, Videos
from expand3d.run.prepare.goal import Goal
from expand3d.search.statistics import default_metric
from expand3d.search.strategies import configured
from expand3d.search.strategy import Given, Strategy
from expand3d.study.config import StudyConfig

CROP_GRID = 8


@dataclass(frozen=True)
class Space:
    """The limits of networks on this data, and the price by which they are counted.

    `crop` is the largest crop in pixels that the budget can reach, `latencies` what was measured
    before there was a record.
    """

    limits: Limits
    price: Price
    crop: int
    latencies: Mapping[str, Latency]


def find_space(
    config: StudyConfig, goal: Goal, videos: Videos, *, known: Known, watch: Watch
) -> Space:
    """The space of networks; the first one's latency is measured where it is limited.

    The configuration's device and threads are settled. BudgetError where the first network exceeds
    a limit. What is `known` is not measured again.
    """
    base = goal.base(len(videos.manifest.class_names))
    afforded = means(
        goal.budget,
        base,
        device=config.device,
        threads=config.threads or 1,
        known=known,
        watch=watch,
        flow=config.flow_spec(),
        table=config.latencies,
    )
    limits = _limits(videos.report, goal, config)
    crop = largest_crop(goal.family, goal.start, base, limits, goal.reach, afforded.price)
    limits = held_to(limits, crop, afforded.price)
    return Space(limits, afforded.price, crop, afforded.latencies)


def _limits(report: CheckReport, goal: Goal, config: StudyConfig) -> Limits:
    """The limits of the data: its median short side (on a grid of 8) and its median duration.

    Beside them what the configuration restricts.

    What the start needs is always allowed, enlarged or padded if it must be.
    """
    plan = goal.family.resolve(goal.start)
    side = int(report.short_side or 0) // CROP_GRID * CROP_GRID
    return Limits(
        crop=max(plan.crop, side),
        duration=max(plan.duration, int(report.frames or 0)),
        first_clip=config.first_clip,
        restrictions=config.expressible_in,
    )


def choose_strategy(
    config: StudyConfig, goal: Goal, space: Space, clips: Clips, benches: Benches
) -> Strategy:
    """The strategy that the configuration names, within the space."""
    metric = config.select
    return configured(
        Given(
            config,
            budget=goal.budget.first.amount,
            limits=space.limits,
            start=goal.start,
            num_classes=len(clips.store.class_names),
            metric=default_metric(benches.scored) if metric == "auto" else metric,
            spend=_spend(config, benches),
            multigrid=benches.search.recipe.multigrid,
            by_shape=benches.search.by_shape if benches.search.recipe.smaller_first else (1,),
            price=space.price,
            visits=benches.search.visits // len(benches.search.jobs),
        )
    )


def _spend(config: StudyConfig, benches: Benches) -> int | None:
    """The training limit as multiply-adds of one clip of all networks together, rounded up."""
    if config.training_limit is None:
        return None
    limit = config.training_limit.first.amount
    return math.ceil(limit / (TRAINING_FACTOR * benches.search.visits))
