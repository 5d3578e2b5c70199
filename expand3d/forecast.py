"""What a run will take, before it starts: candidates, clip visits, multiply-adds and time."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from expand3d.evaluate import Bench
from expand3d.families import get_family, plan_from_json
from expand3d.genotype import Plan
from expand3d.prepare import Prepared
from expand3d.search.select import label
from expand3d.study.trial import Candidate
from expand3d.watch import Overview, PlannedStep

#: Networks up to this many times the base's cost are timed; larger ones are extrapolated, since
#: timing them would itself take minutes on a CPU.
TIMED_RATIO = 8
#: Two timed networks that are closer in size say nothing about how time grows.
LEAST_SPREAD = 1.5
#: A training takes two products of the forward pass's cost for the gradients.
TRAINING_FACTOR = 3


@dataclass(frozen=True)
class Pace:
    """Seconds of a training clip visit and of a test view as a power law of the activations.

    Memory traffic, not arithmetic, takes the time of channel-wise 3D networks, so time follows
    the elements that convolutions write rather than their multiply-adds.
    """

    train: tuple[float, float]
    test: tuple[float, float]

    def seconds(self, activations: int, *, visits: int, views: int) -> float:
        """Expected time of one training and its test."""
        (a, power_a), (b, power_b) = self.train, self.test
        return a * activations**power_a * visits + b * activations**power_b * views


def forecast(ready: Prepared) -> Overview:
    """The plan of a run with its expected time on this device, from two short calibrations."""
    offers = ready.strategy.plan_ahead()
    pace = _calibrate(ready.bench, [c for offer in offers for c in offer.candidates])
    steps = tuple(
        dataclasses.replace(
            _row(
                ready.bench,
                pace,
                offer.step,
                offer.target,
                offer.candidates,
                at_a_time=ready.config.side_by_side,
            ),
            quantity=offer.quantity,
        )
        for offer in offers
    )
    last = None
    if ready.config.final:
        best = offers[-1].candidates[:1]
        last = _row(ready.final, pace, offers[-1].step + 1, best[0].cost, best)
        last = dataclasses.replace(last, quantity=ready.strategy.price.quantity)
    assert ready.config.name is not None
    return Overview(ready.config.name, ready.lines, steps, last)


def forecast_each(bench: Bench, candidates: Sequence[Candidate]) -> tuple[PlannedStep, ...]:
    """One row per network, in their order; every family is calibrated by itself."""
    families = {candidate.genotype.family for candidate in candidates}
    paces = {
        name: _calibrate(bench, [c for c in candidates if c.genotype.family == name])
        for name in families
    }
    return tuple(
        dataclasses.replace(
            _row(bench, paces[c.genotype.family], number, c.macs, [c]), name=label(c)
        )
        for number, c in enumerate(candidates)
    )


def _row(
    bench: Bench,
    pace: Pace,
    step: int,
    target: int,
    candidates: Sequence[Candidate],
    *,
    at_a_time: int = 1,
) -> PlannedStep:
    visits = sum(bench.recipe.steps_for(len(job.train)) * bench.recipe.batch for job in bench.jobs)
    clips = sum(len(job.held_out) for job in bench.jobs)
    views = clips * bench.recipe.test_views * bench.recipe.test_crops
    return PlannedStep(
        step=step,
        candidates=len(candidates),
        target=target,
        clip_visits=visits * len(candidates),
        training_macs=sum(TRAINING_FACTOR * c.macs * visits for c in candidates),
        seconds=side_by_side(
            [
                pace.seconds(_activations(plan_from_json(c.plan)), visits=visits, views=views)
                for c in candidates
            ],
            at_a_time,
        ),
        # Memory goes with the activations; counting it for every candidate would take seconds.
        memory=bench.memory(max((plan_from_json(c.plan) for c in candidates), key=_activations)),
    )


def side_by_side(seconds: Sequence[float], workers: int) -> float:
    """Seconds until everything is done where each piece goes to the worker that is free first."""
    free_at = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def _activations(plan: Plan) -> int:
    return get_family(plan.family).cost(plan).activations


def _calibrate(bench: Bench, candidates: Sequence[Candidate]) -> Pace:
    """The power laws through the cheapest network and the costliest one that is quick to time."""
    from expand3d.train.throughput import calibrate

    base = min(candidates, key=lambda c: c.macs)
    small = [candidate for candidate in candidates if candidate.macs <= TIMED_RATIO * base.macs]
    plans = [plan_from_json(c.plan) for c in (base, max(small, key=lambda c: c.macs))]
    speeds = [
        calibrate(plan, recipe=bench.recipe, device=bench.device, threads=bench.threads)
        for plan in plans
    ]
    sizes = [_activations(plan) for plan in plans]
    return Pace(
        train=_power_law(sizes, [speed.train_seconds for speed in speeds]),
        test=_power_law(sizes, [speed.test_seconds for speed in speeds]),
    )


def _power_law(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """(a, k) of seconds = a x size ** k through two points; proportional where they are close."""
    if sizes[1] < LEAST_SPREAD * sizes[0]:
        return seconds[1] / sizes[1], 1.0
    power = math.log(seconds[1] / seconds[0]) / math.log(sizes[1] / sizes[0])
    return seconds[0] / sizes[0] ** power, power
