"""Studies on one imaginary data set, as `report` compares them: made up by hand, or searched."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.report.study.view import StudyView
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategy import Strategy, expand_all
from expand3d.study.config import StudyConfig
from tests.helpers.studies import CLASSES, scored, strategy_of

FINGERPRINT = "9f3c2a7710d4e8b1"


class Made(NamedTuple):
    """A network of `macs`, right on `hits` of ten clips (None: it diverged) after `tmacs`."""

    macs: int
    hits: int | None
    tmacs: int
    role: str = "tpe"


def made_up(name: str, networks: Sequence[Made], *, budget: int = 500, **keys: Any) -> StudyView:
    """A study of two classes with these trials; the last scored one is its winner."""
    trials = tuple(_trial(number, network) for number, network in enumerate(networks))
    complete = [trial for trial in trials if trial.state == "complete"]
    return StudyView(
        name=name,
        state="finished",
        family="x3d",
        budget=budget,
        budget_text=f"{budget} MACs",
        metric="nll",
        classes=("falls", "stands"),
        trials=trials,
        best=complete[-1] if complete else None,
        config=StudyConfig(budget="1G", name=name, **{"strategy": "tpe", **keys}),
        fingerprint=FINGERPRINT,
    )


def clip_scores(hits: int, *, clips: int = 10, first: int = 0) -> tuple[ClipScore, ...]:
    """The first `hits` of some clips are right with log-loss 0.25, the others wrong with 1.25."""
    return tuple(
        ClipScore(f"clip{first + i}.mp4", i % 2, 0 if i < hits else 1, 0.25 if i < hits else 1.25)
        for i in range(clips)
    )


def _trial(number: int, network: Made) -> Trial:
    plan = get_family("x3d").resolve(get_family("x3d").base, num_classes=10 + number)
    candidate = Candidate(Genotype("x3d", {}), plan, network.macs, 0, None, network.role)
    ok = network.hits is not None
    run = Training(
        status="ok" if ok else "diverged",
        reason=None if ok else "the loss is not a number",
        scores=clip_scores(network.hits) if network.hits is not None else (),
        clip_visits=1000,
        training_macs=network.tmacs * 10**12,
        seconds=2.5,
        peak_memory=10**9,
    )
    state = "complete" if ok else "failed"
    return Trial(number, state, candidate, {}, {TrainingKey(): run}, None if ok else "diverged")  # type: ignore[arg-type]


@functools.cache
def searched(
    name: str, *, budget: str = "0.1GFLOPs", clips: int = 300, scores: int = 3, **keys: Any
) -> StudyView:
    """The finished study of a configuration with `keys`; `scores` draws the scores of clips."""
    config = StudyConfig(budget=budget, name=name, **keys)
    strategy = _strategy(config)
    trials = tuple(expand_all(strategy, lambda c: scored(c, clips=clips, seed=scores)))
    return StudyView(
        name=name,
        state="finished",
        family="x3d",
        budget=strategy.budget,
        budget_text=budget,
        metric="nll",
        classes=CLASSES,
        trials=trials,
        steps=strategy.steps(trials),
        best=strategy.result(trials),
        facts={"Device": "cpu, 2 threads", "Data": f"videos/, fingerprint {FINGERPRINT}"},
        config=config,
        fingerprint=FINGERPRINT,
    )


def _strategy(config: StudyConfig) -> Strategy:
    if config.strategy == "expand":
        grown = strategy_of(config.budget.text, seed=config.seed)
        return dataclasses.replace(grown, beam=config.beam, growth=config.growth)
    return Sampling(
        config.strategy,
        "x3d",
        len(CLASSES),
        config.budget.macs,
        Limits(crop=240, duration=90),
        seed=config.seed,
        trials=config.trials,
    )
