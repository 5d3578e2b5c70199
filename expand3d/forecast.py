"""What a run will take, before it starts: candidates, clip visits, multiply-adds and time."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expand3d.evaluate import Bench
from expand3d.families import get_family, plan_from_json
from expand3d.genotype import Plan
from expand3d.prepare import Prepared
from expand3d.search.base import answers
from expand3d.search.ladder import between
from expand3d.search.select import label
from expand3d.search.steps import Offer
from expand3d.study.trial import Candidate, Trial
from expand3d.train.result import TRAINING_FACTOR
from expand3d.watch import Overview, PlannedStep

if TYPE_CHECKING:
    from expand3d.train.throughput import Throughput

#: Networks that are timed, the cheapest and the costliest among them; the others lie between.
TIMED = 3
#: Seconds that a timed pass may take; a costlier network is timed with fewer clips.
LONGEST_PASS = 1.5
#: Networks of which not even one clip is trained within so many seconds are extrapolated.
LONGEST_CLIP = 5.0
#: Timed networks that are closer in size than this say nothing about how time grows.
LEAST_SPREAD = 1.5


@dataclass(frozen=True)
class Pace:
    """What trainings take, between networks that were timed, by the size of their activations.

    Memory traffic, not arithmetic, takes the time of channel-wise 3D networks, so time follows
    the elements that convolutions write rather than their multiply-adds.
    """

    timed: tuple[tuple[int, Throughput], ...]

    def seconds(self, activations: int, *, visits: int, views: int, trainings: int) -> float:
        """Expected time of the trainings of one network and of their tests."""

        def of(kind: Callable[[Throughput], float]) -> float:
            return between([(size, kind(speed)) for size, speed in self.timed], activations)

        return (
            of(lambda speed: speed.train_seconds) * visits
            + of(lambda speed: speed.test_seconds) * views
            + of(lambda speed: speed.start_seconds) * trainings
        )


def forecast(
    ready: Prepared, history: Sequence[Trial] = (), *, last: int | None = None
) -> Overview:
    """The plan of a run with its expected time on this device, from a few short calibrations.

    Of the ways in which the run may go it is the one in the middle by time, with the times of the
    shortest and of the longest. What trials of `history` answer is left out, and so is the last
    training of a winner that is trial `last`. A plan without rows has nothing left to train.
    """
    futures = ready.strategy.futures(history)
    ways = [_ahead(ready, offers, history, last) for offers in futures]
    if not any(offers or winner for offers, winner in ways):
        return _overview(ready, Pace(()), Pace(()), (), None, memory=False)
    # The base is among them, which is quick to time whatever is left.
    candidates = [c for offers in futures for offer in offers for c in offer.candidates]
    pace = _calibrate(ready.bench, candidates)
    winners = [winner for _, winner in ways if winner is not None]
    paces = pace, _pace_of_last(ready, pace, winners, candidates[0])
    times = [_overview(ready, *paces, *way, memory=False).seconds for way in ways]
    ordered = sorted(range(len(ways)), key=lambda place: times[place])
    middle = _overview(ready, *paces, *ways[ordered[len(ordered) // 2]], memory=True)
    return dataclasses.replace(middle, shortest=min(times), longest=max(times))


def _ahead(
    ready: Prepared, offers: Sequence[Offer], history: Sequence[Trial], last: int | None
) -> tuple[tuple[Offer, ...], Candidate | None]:
    """What the record does not answer of `offers`, and the network that is then trained last.

    One of the last candidates stands for a winner that is not known yet.
    """
    known = answers(history)
    open_ones = (
        dataclasses.replace(
            offer, candidates=tuple(c for c in offer.candidates if c.digest not in known)
        )
        for offer in offers
    )
    left = tuple(offer for offer in open_ones if offer.candidates)
    winner: Candidate | None = None
    if left:
        winner = offers[-1].candidates[len(offers[-1].candidates) // 2]
    elif (best := ready.strategy.result(history)) is not None and best.number != last:
        winner = best.candidate
    return left, winner if ready.config.final else None


def _pace_of_last(
    ready: Prepared, pace: Pace, winners: Sequence[Candidate], base: Candidate
) -> Pace:
    """How fast one of `winners` is trained once more, measured where it has threads of its own.

    More cores speed up large networks more than small ones, so it is not computed from `pace`.
    """
    if not winners or ready.final.threads == ready.bench.threads:
        return pace
    return _calibrate(ready.final, [base, *winners])


def forecast_each(bench: Bench, candidates: Sequence[Candidate]) -> tuple[PlannedStep, ...]:
    """One row per network, in their order; every family is calibrated by itself."""
    families = {candidate.genotype.family for candidate in candidates}
    paces = {
        name: _calibrate(bench, [c for c in candidates if c.genotype.family == name])
        for name in families
    }
    return tuple(
        dataclasses.replace(
            _row(bench, paces[c.genotype.family], number, c.macs, [c], memory=True), name=label(c)
        )
        for number, c in enumerate(candidates)
    )


def _overview(
    ready: Prepared,
    pace: Pace,
    last: Pace,
    offers: Sequence[Offer],
    winner: Candidate | None,
    *,
    memory: bool,
) -> Overview:
    """The plan where a run goes as `offers` say, and `winner` is trained once more in the end.

    `pace` is that of the steps, `last` that of the last training. Predicting `memory` takes a
    moment for each row.
    """
    quantity, at_a_time = ready.strategy.price.quantity, ready.config.side_by_side
    steps = [
        _row(
            ready.bench,
            pace,
            offer.step,
            offer.target,
            offer.candidates,
            memory=memory,
            at_a_time=at_a_time,
        )
        for offer in offers
    ]
    rows = tuple(dataclasses.replace(row, quantity=quantity) for row in steps)
    final = None
    if winner is not None:
        step = offers[-1].step + 1 if offers else 0
        final = _row(ready.final, last, step, winner.cost, [winner], memory=memory)
        final = dataclasses.replace(final, quantity=quantity)
    assert ready.config.name is not None
    return Overview(ready.config.name, ready.lines, rows, final)


def _row(
    bench: Bench,
    pace: Pace,
    step: int,
    target: int,
    candidates: Sequence[Candidate],
    *,
    memory: bool,
    at_a_time: int = 1,
) -> PlannedStep:
    clips = sum(len(job.held_out) for job in bench.jobs)
    views = clips * bench.recipe.test_views * bench.recipe.test_crops
    plans = [plan_from_json(c.plan) for c in candidates]
    seconds = [
        pace.seconds(
            _activations(plan), visits=bench.visits, views=views, trainings=len(bench.jobs)
        )
        for plan in plans
    ]
    return PlannedStep(
        step=step,
        candidates=len(candidates),
        target=target,
        clip_visits=bench.visits * len(candidates),
        training_macs=sum(TRAINING_FACTOR * c.macs * bench.visits for c in candidates),
        seconds=side_by_side(seconds, at_a_time),
        # Memory goes with the activations.
        memory=bench.memory(max(plans, key=_activations)) if memory else None,
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
    """Time the cheapest network, the costliest, and one between them, as far as that is quick."""
    from expand3d.train.throughput import calibrate

    plans = {plan.digest: plan for plan in (plan_from_json(c.plan) for c in candidates)}
    sized = sorted((_activations(plan), digest) for digest, plan in plans.items())
    timed: list[tuple[int, Throughput]] = []
    for wanted in _spread([size for size, _ in sized], TIMED):
        size, digest = min(sized, key=lambda item: (abs(math.log(item[0] / wanted)), item))
        clips = bench.recipe.bn_batch
        if timed:
            per_clip = timed[-1][1].train_seconds * size / timed[-1][0]
            if size < LEAST_SPREAD * timed[-1][0] or per_clip > LONGEST_CLIP:
                continue
            clips = max(1, min(clips, int(LONGEST_PASS / per_clip)))
        speed = calibrate(
            plans[digest],
            recipe=bench.recipe,
            device=bench.device,
            threads=bench.threads,
            clips=clips,
        )
        timed.append((size, speed))
    return Pace(tuple(timed))


def _spread(sizes: Sequence[int], count: int) -> list[float]:
    """`count` sizes from the smallest to the largest, equally far apart as ratios."""
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    return [math.exp(low + (high - low) * place / (count - 1)) for place in range(count)]
