"""The forecast of a run before it starts: candidates, clip visits, multiply-adds and time."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from expand3d.core.genotype import Plan
from expand3d.core.process import cores
from expand3d.core.trial import Candidate, Trial
from expand3d.data.contents import Contents
from expand3d.execute.evaluate import Bench
from expand3d.measure.pace import Pace, calibrate
from expand3d.networks import activations
from expand3d.networks.multigrid import shapes
from expand3d.run.events import Overview, PlannedStep, Watch
from expand3d.run.facts import facts, told
from expand3d.run.prepare import Prepared, prepare
from expand3d.run.runner import named_config
from expand3d.run.shortage import warnings
from expand3d.search.expansion.confirm import pairs
from expand3d.search.expansion.steps import Offer
from expand3d.search.statistics import label
from expand3d.search.strategy import answers
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

if TYPE_CHECKING:
    from expand3d.measure.throughput import Site


def planned_study(config: StudyConfig, contents: Contents | None, watch: Watch) -> Prepared:
    """A new study as far as a plan needs it; nothing is written, and few videos are decoded."""
    named = named_config(config)
    Record.refuse_existing(named)
    return told(prepare(named, watch, contents=contents, plan=True), watch)


def forecast(
    ready: Prepared,
    history: Sequence[Trial] = (),
    *,
    last: int | None = None,
    again: Sequence[Candidate] = (),
) -> Overview:
    """The plan of a run with its expected time on this device, from a few short calibrations.

    Of the ways in which the run may go it is the one in the middle by time, with the times of the
    shortest and of the longest. What trials of `history` answer is left out, and so is the last
    training of a winner that is trial `last`; the networks `again` are trained whatever `history`
    says, before all others. A plan without rows has nothing left to train.
    """
    history, futures = _futures(ready, history, again)
    ways = [_ahead(ready, offers, history, last) for offers in futures]
    if not any(way.offers or way.confirmed or way.winner for way in ways):
        return Overview(ready.config.name, facts(ready), (), None)
    # The base is among them, which is quick to time whatever is left.
    candidates = [c for offers in futures for offer in offers for c in offer.candidates]
    pace = calibrate(candidates, recipe=ready.bench.recipe, site=_site(ready))
    winners = [way.winner for way in ways if way.winner is not None]
    paces = pace, _pace_of_last(ready, pace, winners, candidates[0])
    times = [_overview(ready, *paces, way, memory=False).seconds for way in ways]
    ordered = sorted(range(len(ways)), key=lambda place: times[place])
    middle = _overview(ready, *paces, ways[ordered[len(ordered) // 2]], memory=True)
    return dataclasses.replace(
        middle,
        shortest=min(times),
        longest=max(times),
        warnings=warnings(ready, middle.steps, middle.final),
    )


class _Way(NamedTuple):
    """One way in which a run may go on: open steps, networks from scratch, the one trained last."""

    offers: tuple[Offer, ...]
    confirmed: tuple[Candidate, ...]
    winner: Candidate | None


def _ahead(
    ready: Prepared,
    offers: Sequence[Offer],
    history: Sequence[Trial],
    last: int | None,
) -> _Way:
    """The part of `offers` that the record does not answer, and what is trained after it.

    One of the last candidates stands for a winner that is not known yet, and two of a step for its
    best and its runner-up.
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
    confirmed = _confirmed(ready, left, history) if ready.config.confirm else ()
    return _Way(left, confirmed, winner if ready.config.final else None)


def _confirmed(
    ready: Prepared, left: Sequence[Offer], history: Sequence[Trial]
) -> tuple[Candidate, ...]:
    """The networks that are still to be trained from scratch, to confirm steps."""
    known = answers(history)
    there = pairs(ready.strategy.steps(history))
    decided = {c.digest: c for pair in there for c in (pair.best, pair.runner_up)}
    ahead = [c for offer in left if len(offer.candidates) > 1 for c in offer.candidates[:2]]
    return (*(c for digest, c in decided.items() if digest not in known), *ahead)


def _futures(
    ready: Prepared, history: Sequence[Trial], again: Sequence[Candidate]
) -> tuple[Sequence[Trial], tuple[tuple[Offer, ...], ...]]:
    """The history without the answers of the networks trained `again`, and the ways from there.

    Each way holds all of them. Who would propose other networks in their place (a sampler) is asked
    with their answers in the history, and they come first.
    """
    digests = {candidate.digest for candidate in again}
    rest = [trial for trial in history if trial.candidate.digest not in digests]
    if digests:
        futures = ready.strategy.futures(rest)
        if futures and all(
            digests <= {c.digest for o in way for c in o.candidates} for way in futures
        ):
            return rest, futures
    first = tuple(_offers_of(again, ready))
    return rest, tuple((*first, *way) for way in ready.strategy.futures(history) or ((),))


def _offers_of(again: Sequence[Candidate], ready: Prepared) -> Iterator[Offer]:
    """The networks that are trained again, as offers of the steps that they belong to."""
    for step, group in groupby(sorted(again, key=_step), key=_step):
        networks = tuple(group)
        most = max(network.cost for network in networks)
        yield Offer(step, most, networks, quantity=ready.strategy.price.quantity)


def _step(candidate: Candidate) -> int:
    return candidate.step or 0


def _pace_of_last(
    ready: Prepared, pace: Pace, winners: Sequence[Candidate], base: Candidate
) -> Pace:
    """The pace of training one of `winners` once more, measured where it has threads of its own.

    More cores speed up large networks more than small ones, and nothing is trained beside it, so it
    is not computed from `pace`.
    """
    if not winners or _site_of_last(ready) == _site(ready):
        return pace
    return calibrate([base, *winners], recipe=ready.final.recipe, site=_site_of_last(ready))


def _site(ready: Prepared) -> Site:
    """The place where the candidates are trained, as far as it is this machine."""
    from expand3d.measure.throughput import Site

    devices, threads = ready.config.devices or (ready.bench.device,), ready.bench.threads
    # Workers of a cluster may be more than there is room for here, and threads more than cores.
    threads = min(threads, cores())
    here = max(1, cores() // threads)
    return Site(devices, threads, min(ready.config.side_by_side, here))


def _site_of_last(ready: Prepared) -> Site:
    """The place where the winner is trained once more, when all others are done."""
    return dataclasses.replace(_site(ready), threads=min(ready.final.threads, cores()), at_a_time=1)


def forecast_each(ready: Prepared, candidates: Sequence[Candidate]) -> tuple[PlannedStep, ...]:
    """One row per network, in their order; every family is calibrated by itself."""
    bench, site = ready.bench, _site(ready)
    families = {candidate.genotype.family for candidate in candidates}
    paces = {
        name: calibrate(
            (c for c in candidates if c.genotype.family == name), recipe=bench.recipe, site=site
        )
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
    way: _Way,
    *,
    memory: bool,
) -> Overview:
    """The plan where a run goes this way.

    `pace` is that of the steps, `last` that of the last training. Predicting `memory` takes a
    moment for each row.
    """
    offers, confirmed, winner = way
    quantity, at_a_time = ready.strategy.price.quantity, ready.config.side_by_side
    tests = 1 + len(ready.config.race_rungs() or ready.config.rungs)
    steps = [
        _row(
            ready.bench,
            pace,
            offer.step,
            offer.target,
            offer.candidates,
            memory=memory,
            at_a_time=at_a_time,
            tests=tests,
        )
        for offer in offers
    ]
    step = offers[-1].step + 1 if offers else 0
    if confirmed:
        most = max(candidate.cost for candidate in confirmed)
        row = _row(
            ready.bench,
            pace,
            step,
            most,
            confirmed,
            memory=memory,
            at_a_time=at_a_time,
            tests=tests,
        )
        steps.append(dataclasses.replace(row, name="from scratch"))
    rows = tuple(dataclasses.replace(row, quantity=quantity) for row in steps)
    final = None
    if winner is not None:
        final = _row(ready.final, last, step, winner.cost, [winner], memory=memory)
        final = dataclasses.replace(final, quantity=quantity)
    return Overview(ready.config.name, facts(ready), rows, final)


def _row(
    bench: Bench,
    pace: Pace,
    step: int,
    target: int,
    candidates: Sequence[Candidate],
    *,
    memory: bool,
    at_a_time: int = 1,
    tests: int = 1,
) -> PlannedStep:
    """The plan of some networks, each of whose trainings is tested so many times."""
    plans = [c.plan for c in candidates]
    # A candidate with a seed of its own has its own trainings.
    benches = [bench.only(c.repeat) for c in candidates]
    seconds = [_seconds(each, pace, plan, tests) for plan, each in zip(plans, benches, strict=True)]
    return PlannedStep(
        step=step,
        candidates=len(candidates),
        target=target,
        clip_visits=sum(each.visits for each in benches),
        training_macs=sum(each.training_macs(p) for p, each in zip(plans, benches, strict=True)),
        seconds=side_by_side(seconds, at_a_time),
        # Memory goes with the activations.
        memory=bench.memory(max(plans, key=activations)) if memory else None,
    )


def _seconds(bench: Bench, pace: Pace, plan: Plan, tests: int) -> float:
    """The time of a candidate's trainings and of their tests, one after the other."""
    *smaller, whole = zip(shapes(plan, bench.recipe), bench.by_shape, strict=True)
    views, trainings = _views(bench, tests), len(bench.jobs)
    before = (pace.seconds(p, visits=count, views=0, trainings=0) for p, count in smaller)
    last = pace.seconds(plan, visits=whole[1], views=views, trainings=trainings)
    return sum(before) + last


def _views(bench: Bench, tests: int = 1) -> int:
    """Views that the tests of one candidate read: one a clip in all tests but the last."""
    clips = sum(len(job.held_out) for job in bench.jobs)
    return clips * (bench.recipe.test_views * bench.recipe.test_crops + tests - 1)


def side_by_side(seconds: Sequence[float], workers: int) -> float:
    """Seconds until everything is done where each piece goes to the worker that is free first."""
    free_at = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)
