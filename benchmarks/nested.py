"""Searches in nested cross-validation: does one way to search end at better networks than another?

    python benchmarks/nested.py --data PATH [--arms scratch parent playback bundled] [--root DIR]
        [--folds 5] [--budget 0.08GFLOPs] [--visits 1000] [--last-visits 6000] [--csv FILE]

The groups of the data (sequences, persons) are divided into outer folds. In each, every arm
searches among the clips outside the fold, with a validation part of their own, trains its winner,
and scores the clips of the fold once. So each clip is scored by networks that never saw it. A
fold's number is the seed of its searches.

Arms: `scratch`; `parent` (each network begins with its parent's weights); `playback` (weights that
were pretrained on the fold's own training clips, labels unused); `bundled` (weights that were
trained on the bundled clips); `race` (scratch, in rungs). Where an arm pretrains, its last training
is shorter by as many multiply-adds, so that all arms train for the same number of them.

Interrupted, the same command goes on. Prints a table: top-1 over all clips with its interval by
bootstrap over groups, each arm's lead over `scratch` in pairs, networks, and multiply-adds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from proxies import write_csv

import expand3d
from expand3d.core.budget import parse_macs
from expand3d.core.result import TRAINING_FACTOR
from expand3d.data.manifest import load_manifest
from expand3d.report.study.naming import network_text
from expand3d.report.study.spent import spent

ARMS = ("scratch", "parent", "playback", "bundled", "race")
RESAMPLES = 10_000
#: What is pretrained: the base at four frames, of which twice the speed lies within 48 frames.
PRETRAINED = {"gamma_t": 4, "gamma_tau": 6}


@dataclass(frozen=True)
class Outcome:
    """One search and its last training: which test clips were right, and what it took.

    `steps` are the factors that its steps chose, the first one first.
    """

    arm: str
    fold: int
    hits: Mapping[str, bool]
    groups: Mapping[str, str]
    networks: int
    steps: str
    winner: str
    search_macs: int
    last_macs: int
    pretrained_macs: int

    @property
    def macs(self) -> int:
        """Multiply-adds of all trainings."""
        return self.search_macs + self.last_macs + self.pretrained_macs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="labelled videos whose list has groups")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS[:4]))
    parser.add_argument("--root", type=Path, default=Path("studies/nested"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--budget", default="0.08GFLOPs")
    parser.add_argument("--visits", type=int, default=1000, help="clip visits of a candidate")
    parser.add_argument("--last-visits", type=int, default=6000, help="of the last training")
    parser.add_argument("--pretrain-visits", type=int, default=2500)
    parser.add_argument("--recipe", nargs="*", default=[], help="FIELD=VALUE of every training")
    parser.add_argument("--warm", nargs="*", default=[], help="FIELD=VALUE where weights come in")
    parser.add_argument("--csv", type=Path, help="also write a row per search here")
    options = parser.parse_args()
    groups = sorted({video.group or video.key for video in load_manifest(options.data).videos})
    held_out = [groups[fold :: options.folds] for fold in range(options.folds)]
    for fold, groups_of_fold in enumerate(held_out):  # so that a few folds are there early
        for arm in options.arms:
            search(arm, fold, groups_of_fold, options)
    outcomes = [
        outcome(arm, fold, options) for arm in options.arms for fold in range(options.folds)
    ]
    if options.csv:
        write(options.csv, outcomes)
    for line in table(outcomes):
        print(line)


def search(arm: str, fold: int, held_out: Sequence[str], options: argparse.Namespace) -> None:
    """The search of one arm in one fold, with its last training; goes on where it was."""
    name = study(arm, fold)
    if (options.root / name / "study.db").exists():
        expand("resume", name, "--root", options.root)
        return
    recipe = [*options.recipe, f"clip_visits={options.visits}"]
    last = [*options.recipe, f"clip_visits={last_visits(arm, options)}"]
    warm: Sequence[Any] = ()
    if arm not in ("scratch", "race"):
        recipe += options.warm
        last += options.warm
        warm = ("--init", start(arm, fold, held_out, options))
    expand(
        *("run", "--study", name, "--root", options.root, "--budget", options.budget),
        *(*data(fold, held_out, options), *warm, *(("--race",) if arm == "race" else ())),
        *(flag for text in recipe for flag in ("--recipe", text)),
        *(flag for text in last for flag in ("--final-recipe", text)),
    )


def start(arm: str, fold: int, held_out: Sequence[str], options: argparse.Namespace) -> str:
    """The value of --init, whose weights are made where they are not there yet."""
    if arm == "parent":
        return "parent"
    playback = options.root / f"playback-weights-{fold}"
    if not (playback / "weights.safetensors").exists():
        expand(
            *("pretrain", "playback", "--out", playback, "--clip-visits", options.pretrain_visits),
            *data(fold, held_out, options),
            *(flag for item in PRETRAINED.items() for flag in ("--set", "{}={}".format(*item))),
        )
    if arm == "playback":
        return f"{playback.resolve()}"
    bundled = options.root / "bundled-weights"
    if not (bundled / "weights.safetensors").exists():
        expand(
            *("train", playback.resolve(), "--init", "scratch", "--out", bundled),
            *("--profile", "final", "--clip-visits", options.pretrain_visits),
            *("--threads", 1, "--device", "cpu"),
        )
    return f"{bundled.resolve()}"


def data(fold: int, held_out: Sequence[str], options: argparse.Namespace) -> tuple[Any, ...]:
    return (
        *("--data", options.data, "--test-groups", *held_out, "--seed", fold),
        *("--threads", 1, "--device", "cpu"),
    )


def study(arm: str, fold: int) -> str:
    return f"{arm}-{fold}"


def pretrained_macs(arm: str, options: argparse.Namespace) -> int:
    """Multiply-adds of the pretraining that an arm uses."""
    if arm not in ("playback", "bundled"):
        return 0
    genotype = expand3d.presets()["x2d"].genotype.replace(**PRETRAINED)
    macs = expand3d.cost(expand3d.resolve(genotype, num_classes=4)).macs
    return TRAINING_FACTOR * macs * options.pretrain_visits


def last_visits(arm: str, options: argparse.Namespace) -> int:
    """Clip visits of the last training, less those that the pretraining was worth."""
    of_one = TRAINING_FACTOR * parse_macs(options.budget)
    return options.last_visits - round(pretrained_macs(arm, options) / of_one)


def expand(*words: object) -> None:
    command = [sys.executable, "-m", "expand3d", *(str(word) for word in words)]
    print("$", " ".join(command[2:]), flush=True)
    subprocess.run(command, check=True)


def outcome(arm: str, fold: int, options: argparse.Namespace) -> Outcome:
    """The outcome that the record of a finished search holds."""
    view = expand3d.load_study(study(arm, fold), root=options.root)
    assert view.final and view.best, f"{view.name} is not finished"
    scores = view.final.training.scores
    return Outcome(
        arm=arm,
        fold=fold,
        hits={score.key: score.rank == 0 for score in scores},
        groups={score.key: score.group or score.key for score in scores},
        networks=len(view.trials),
        steps=" > ".join(str(step.winner.axis) for step in view.steps[1:] if step.winner),
        winner=network_text(view.best.candidate),
        search_macs=spent(view.trials).training_macs,
        last_macs=view.final.training.training_macs,
        pretrained_macs=pretrained_macs(arm, options),
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line per arm: top-1 of all folds' clips and its lead over `scratch`, in points."""
    every = {arm: [o for o in outcomes if o.arm == arm] for arm in ARMS}
    hits = {arm: merged(found) for arm, found in every.items() if found}
    groups = {key: group for outcome in outcomes for key, group in outcome.groups.items()}
    head = ("arm", "top-1", "lead over scratch", "networks")
    lines = ["{:9} {:25} {:23} {:>8}  TMACs (search, last, before)".format(*head)]
    for arm, right in hits.items():
        top1 = interval({key: float(hit) for key, hit in right.items()}, groups)
        lead = ""
        if arm != "scratch" and "scratch" in hits:
            pairs = {key: float(right[key]) - float(hits["scratch"][key]) for key in right}
            lead = "{:+.1%} ({:+.1%} to {:+.1%})".format(*interval(pairs, groups))
        networks = sum(o.networks for o in every[arm])
        parts = [
            sum(getattr(o, field) for o in every[arm]) / 1e12
            for field in ("macs", "search_macs", "last_macs", "pretrained_macs")
        ]
        lines.append(
            "{:9} {:25} {:23} {:8}  {:.2f} ({:.2f}, {:.2f}, {:.2f})".format(
                arm, "{:.1%} ({:.1%} to {:.1%})".format(*top1), lead, networks, *parts
            )
        )
    return lines


def merged(outcomes: Sequence[Outcome]) -> dict[str, bool]:
    """Each clip's hit; every clip is in the test part of one fold alone."""
    found: dict[str, bool] = {}
    for outcome in outcomes:
        assert not found.keys() & outcome.hits.keys()
        found |= outcome.hits
    return found


def interval(values: Mapping[str, float], groups: Mapping[str, str]) -> tuple[float, float, float]:
    """The mean, and the 2.5% and 97.5% points of its bootstrap over groups."""
    names = sorted({groups[key] for key in values})
    sums = np.array([sum(v for k, v in values.items() if groups[k] == name) for name in names])
    sizes = np.array([sum(groups[k] == name for k in values) for name in names])
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return sum(values.values()) / len(values), float(low), float(high)


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    rows = [
        {
            "arm": o.arm,
            "fold": o.fold,
            "test_clips": len(o.hits),
            "right": sum(o.hits.values()),
            "networks": o.networks,
            "steps": o.steps,
            "winner": o.winner,
            "search_macs": o.search_macs,
            "last_macs": o.last_macs,
            "pretrained_macs": o.pretrained_macs,
        }
        for o in outcomes
    ]
    write_csv(path, rows)


if __name__ == "__main__":
    main()
