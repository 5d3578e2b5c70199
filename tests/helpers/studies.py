"""A study as a run would leave it: the real strategy, with scores drawn instead of trained."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from pathlib import Path
from typing import Any

from expand3d.core.budget import parse_budget
from expand3d.core.recipe import get_profile
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.report.study.view import Final, StudyView
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategies import strategy_to_json
from expand3d.search.strategy import expand_all
from expand3d.study.config import NamedConfig
from expand3d.study.record import Record

CLASSES = ("hand shaking", "hugging", "kicking", "pointing", "punching", "pushing")

#: How much each factor helps on this imaginary data: accuracy per doubling of the factor.
HELPS = {"gamma_t": 0.11, "gamma_s": 0.12, "gamma_d": 0.05, "gamma_w": 0.04, "gamma_b": 0.03}


def training(accuracy: float, *, clips: int, seed: int, macs: int = 10**12) -> Training:
    """A training whose clips are right with probability `accuracy`."""
    rng = random.Random(seed)
    scores = []
    for clip in range(clips):
        right = rng.random() < accuracy
        nll = rng.uniform(0.05, 0.8) if right else rng.uniform(1.2, 3.0)
        scores.append(ClipScore(f"clip{clip:03d}.mp4", clip % 6, 0 if right else 2, nll))
    return Training("ok", None, tuple(scores), 1000, macs, 41.5, 2**30)


def scored(candidate: Candidate, *, clips: int, seed: int) -> Trial:
    """The trial that answers a candidate; the widest networks run out of memory."""
    gains = sum(gain * math.log2(candidate.genotype[factor]) for factor, gain in HELPS.items())
    accuracy = 0.92 - 0.62 * math.exp(-1.1 * gains)
    cost = get_family("x3d").cost(candidate.plan).totals()
    if candidate.axis == "gamma_w" and candidate.step == 3:
        return Trial(0, "failed", candidate, cost, reason="out of memory at 16 clips per pass")
    seed += int(candidate.digest[:6], 16)
    run = training(accuracy, clips=clips, seed=seed, macs=3000 * candidate.macs)
    return Trial(0, "complete", candidate, cost, trainings={TrainingKey(): run})


def strategy_of(budget: str, *, seed: int = 3) -> Expansion:
    """The expansion of six classes on clips of 90 frames."""
    macs = parse_budget(budget).macs
    return Expansion("x3d", len(CLASSES), macs, Limits(crop=240, duration=90), seed=seed)


@functools.cache
def expanded(
    budget: str = "0.3GFLOPs", *, name: str = "ut-interaction", clips: int = 300, seed: int = 3
) -> StudyView:
    """A finished expansion to `budget`, its winner trained once more."""
    strategy = strategy_of(budget, seed=seed)
    trials = expand_all(strategy, lambda c: scored(c, clips=clips, seed=seed))
    best = strategy.result(trials)
    assert best is not None
    return StudyView(
        name=name,
        state="finished",
        family="x3d",
        budget=strategy.budget,
        budget_text=budget,
        metric="nll",
        classes=CLASSES,
        trials=tuple(trials),
        steps=strategy.steps(trials),
        best=best,
        final=Final(
            best.number,
            training(0.74, clips=40, seed=1),
            get_profile("final"),
            "40 clips of the test part, never used for choosing",
        ),
        facts={
            "Data": "videos/ (120 clips, 6 classes), fingerprint 9f3c2a7710d4e8b1",
            "Recipe": "quick: 1,000 clip visits, batch 16, lr 0.05",
            "Seed": "3",
            "Device": "cpu, 2 threads",
            "Versions": "expand3d 0.1.0, torch 2.13.0+cpu, optuna 5.0.0, av 18.1.0",
        },
    )


#: A learning curve of three epochs.
CURVE = tuple({"epoch": e, "loss": 2 / e, "accuracy": e / 4, "lr": 0.1} for e in (1, 2, 3))


def with_curves(view: StudyView) -> StudyView:
    """The study without its last training; its networks have curves, and a class for each clip."""

    def known(trial: Trial) -> Trial:
        runs = {
            key: dataclasses.replace(
                run,
                curve=CURVE,
                scores=tuple(
                    s._replace(predicted=s.label if s.rank == 0 else (s.label + 1) % 6)
                    for s in run.scores
                ),
            )
            for key, run in trial.trainings.items()
        }
        return dataclasses.replace(trial, trainings=runs)

    trials = tuple(map(known, view.trials))
    best = trials[view.best.number] if view.best else None
    return dataclasses.replace(view, trials=trials, best=best, final=None)


def recorded(view: StudyView, root: Path, *, weights: bool = True, **keys: Any) -> Record:
    """The record that a run of the same study, configured with `keys`, leaves under `root`."""
    config = NamedConfig(budget=view.budget_text, name=view.name, root=str(root), **keys)
    record = Record.create(config)
    data = {
        "fingerprint": "9f3c2a7710d4e8b1",
        "classes": list(view.classes),
        "clips": {f"clip{number}.mp4": "0" for number in range(40)},
        "skipped": {"broken.mp4": "no video stream"},
    }
    record.set_attribute("data", data)
    record.set_attribute("strategy", strategy_to_json(strategy_of(view.budget_text)))
    session = record.start_session()
    provenance = {
        "data": "9f3c2a7710d4e8b1",
        "recipe": get_profile("quick").to_json(),
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "versions": {"expand3d": "0.1.0", "torch": "2.13.0"},
    }
    for trial in view.trials:
        number = record.begin(trial.candidate, trial.cost, provenance)
        for key, run in trial.trainings.items():
            record.put_training(number, key, run)
        record.finish(number, trial.state, trial.reason)
    if view.final:
        if weights:
            keep_weights(view, record.folder.weights / "winner.safetensors")
        record.set_final(
            {
                "trial": view.final.trial,
                "training": view.final.training.to_json(),
                "recipe": view.final.recipe.to_json(),
                "weights": "winner.safetensors",
            }
        )
    record.stop_session(session, "finished")
    return record


def keep_weights(view: StudyView, path: Path) -> None:
    """Untrained weights of the winner, where a run keeps the trained ones."""
    from safetensors.torch import save_file

    assert view.best is not None
    family = get_family(view.family)
    network = family.build(view.best.candidate.plan)
    save_file(network.state_dict(), path)
