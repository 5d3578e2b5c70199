"""Samplers never train more than `trials`, and an extended grid reaches up to the budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.search.samplers import simplex, space
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.samplers.simplex import Draw
from expand3d.search.strategy import Batch, answers, drive
from tests.helpers.examples import examples
from tests.helpers.strategies import LIMITS, make, scored


def numbered(trial: Trial, history: Sequence[Trial]) -> Trial:
    return dataclasses.replace(trial, number=len(history))


def baseline(candidate: Candidate) -> Trial:
    """The same network, trained beside the search."""
    return scored(dataclasses.replace(candidate, role=BASELINE, step=None, label="published"))


def running(candidate: Candidate) -> Trial:
    return dataclasses.replace(scored(candidate), state="running", trainings={})


def own(history: Sequence[Trial], name: str) -> set[str]:
    return {t.candidate.digest for t in history if t.candidate.role in ("base", name)}


@pytest.mark.parametrize(
    "name", [pytest.param("tpe", marks=pytest.mark.slow), "nsga2", "random", "qmc", "grid"]
)
@pytest.mark.parametrize("killed", [False, True])
@settings(max_examples=examples(15), deadline=None)
@given(
    seed=st.integers(0, 9), batch=st.integers(2, 4), cut=st.integers(0, 8), place=st.integers(0, 3)
)
def test_a_baseline_that_answers_one_of_an_open_batch_adds_no_other(
    name: str, killed: bool, seed: int, batch: int, cut: int, place: int
) -> None:
    """Some of a batch are trained, or were begun by a process that died, when a baseline comes."""
    strategy = make(name, seed=seed, trials=8, batch=batch)
    history: list[Trial] = []
    while isinstance(asked := strategy.ask(history), Batch):
        known = answers(history)
        left = [c for c in asked.candidates if c.digest not in known]
        begun = {t.candidate.digest: t.number for t in history if t.state == "running"}
        if len(left) > 1 and len(history) >= cut and place is not None:
            other = left.pop(place % len(left))
            if other.digest not in begun:
                history.append(numbered(baseline(other), history))
                if killed and left[-1].digest not in begun:
                    history.append(numbered(running(left[-1]), history))
                begun = {t.candidate.digest: t.number for t in history if t.state == "running"}
                place = None  # type: ignore[assignment]
        done = scored(left[0])
        if left[0].digest in begun:
            history[begun[left[0].digest]] = dataclasses.replace(done, number=begun[left[0].digest])
        else:
            history.append(numbered(done, history))
        assert len(own(history, name)) <= 8
    left_over = [t for t in history if t.state == "running"]
    assert not left_over and len(own(history, name)) <= 8


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((40, 300), (80, 300)),
        ((40, 100), (80, 300)),
        ((14, 150), (40, 300)),
        ((30, 200), (200, 200)),
    ],
)
@pytest.mark.parametrize(
    ("draw", "grids_of"), [("factors", space._grids), ("shares", simplex._grids)]
)
def test_an_extended_grid_trains_the_dearest_too_and_no_more_than_trials(
    before: tuple[int, int], after: tuple[int, int], draw: Draw, grids_of: Callable[..., Any]
) -> None:
    def grid(trials: int, millions: int) -> Sampling:
        return Sampling("grid", "x3d", 6, millions * 10**6, LIMITS, trials=trials, draw=draw)

    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            history.append(numbered(scored(candidate), history))

    drive(grid(*before), lambda: history, answer)
    old = frozenset(trial.candidate.digest for trial in history)
    larger = grid(*after)
    planned = {c.digest for offer in larger.futures(history)[0] for c in offer.candidates}
    ended = drive(larger, lambda: history, answer)
    trained = {trial.candidate.digest for trial in history}
    assert len(old) < len(trained) == len(history) <= after[0]
    # A grid that a new study could have, and all of it.
    grids = [found.keys() for found in grids_of(larger.space, after[0])]
    whole = next(each for each in grids if trained - old <= each and old | each == trained)
    # No finer one leaves room for what was trained before.
    assert not any(len(each) > len(whole) and len(old | each) <= after[0] for each in grids)
    assert planned == trained
    assert f"all {len(whole)} networks of the grid" in ended.reason or len(trained) == after[0]
