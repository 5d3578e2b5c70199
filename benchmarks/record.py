"""Times of a large study: resuming, listing, drawing, its frontier, by number of trials.

    python benchmarks/record.py [--trials 100 1000 10000] [--strategies expand random tpe]
                                [--root studies/benchmark-record] [--csv FILE]

Makes studies of made-up trials with 300 clip scores each, through the record, and keeps them under
--root: they are made once. The expansion's own steps come first, or a sampler's proposals; random
networks fill up to the number. Every command is a process of its own, so that imports count.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import BASELINE, Candidate
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.report.study.view import StudyView, load_view
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.samplers.space import Space
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.search.strategy import Batch, Strategy
from expand3d.study.config import NamedConfig
from expand3d.study.folder import study_folder
from expand3d.study.record import DATA, STRATEGY, Record
from expand3d.study.session import versions

CLIPS = 300
CLASSES = 10
BUDGET = 10**9
LIMITS = Limits(crop=224, duration=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--strategies", nargs="+", default=["expand", "random", "tpe"])
    parser.add_argument("--root", type=Path, default=Path("studies/benchmark-record"))
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()

    rows = []
    for trials in options.trials:
        for strategy in options.strategies:
            name = f"{strategy}-{trials}"
            make_study(name, options.root, strategy, trials)
            rows.append({"strategy": strategy, "trials": trials, **measure(name, options.root)})
            print(_line(rows[-1]), flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def measure(name: str, root: Path) -> dict[str, Any]:
    """Seconds of each thing that people wait for, and the size of the record in MB."""
    open_seconds, record = _timed(lambda: Record.open(name, root=root))
    strategy = strategy_from_json(record.attribute(STRATEGY))
    view = load_view(name, root=root)
    with tempfile.TemporaryDirectory() as out:
        return {
            "resume": _command(f"""
from expand3d.search.strategies import strategy_from_json
from expand3d.study.record import STRATEGY, Record
from expand3d.study.database import open_storage
Record.open({name!r}, root={str(root)!r})
record = Record.open({name!r}, root={str(root)!r})  # once more, as under the study's lock
strategy_from_json(record.attribute(STRATEGY)).ask(record.trials())
open_storage(record.folder, None)  # for what it writes
"""),
            "status": _expand3d("status", name, "--root", str(root)),
            "studies": _listing(name, root),
            "report": _expand3d("report", name, "--root", str(root), "--out", out, "--force"),
            "open": open_seconds,
            "ask": _timed(lambda: strategy.ask(record.trials()))[0],
            "frontier": _frontier(view),
            "megabytes": record.folder.database.stat().st_size / 1e6,
        }


def _frontier(view: StudyView) -> float:
    """Seconds from the trials in memory to the frontier and its hypervolume."""
    fresh = dataclasses.replace(view)
    return _timed(lambda: (fresh.frontier, fresh.hypervolume))[0]


def _listing(name: str, root: Path) -> float:
    """Seconds of `expand3d studies` where this study is the only one."""
    with tempfile.TemporaryDirectory() as alone:
        (Path(alone) / name).symlink_to(study_folder(name, root).path.resolve())
        return _expand3d("studies", "--root", alone)


def _expand3d(*words: str) -> float:
    return _process(sys.executable, "-m", "expand3d", *words)


def _command(code: str) -> float:
    return _process(sys.executable, "-c", code)


def _process(*words: str) -> float:
    """Wall seconds of a process that succeeds."""
    return _timed(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))[0]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def make_study(
    name: str, root: Path, strategy: str, trials: int, *, clips: int = CLIPS, scored: int = CLIPS
) -> None:
    """A finished study of `trials` trials under `root`, unless it is there.

    Of its clips the first `scored` have scores. Where making it was interrupted it is made again.
    """
    if study_folder(name, root).database.exists():
        if Record.open(name, root=root).sessions()[-1].stopped:
            return
        shutil.rmtree(study_folder(name, root).path)
    config = NamedConfig(budget="1GFLOPs", name=name, root=str(root), strategy=strategy)
    names = [f"videos/class{clip % CLASSES}/clip{clip:05d}.mp4" for clip in range(clips)]
    data = {
        "fingerprint": "0" * 16,
        "classes": [f"class{number}" for number in range(CLASSES)],
        "clips": {name: f"{clip:016x}" for clip, name in enumerate(names)},
        "skipped": {},
    }
    proposes = _strategy(strategy, trials)
    began = {DATA: data, STRATEGY: strategy_to_json(proposes)}
    record = Record.create(config, attributes=began)
    session = record.start_session()
    for candidate in _candidates(proposes, record, trials):
        _answer(record, candidate, tuple(names[:scored]))
    record.stop_session(session, "finished")


def _strategy(name: str, trials: int) -> Strategy:
    if name == "expand":
        return Expansion(family="x3d", num_classes=CLASSES, budget=BUDGET, limits=LIMITS, seed=1)
    # One more network than there will be, so that resuming has something to propose.
    return Sampling(
        sampler=name,
        family="x3d",
        num_classes=CLASSES,
        budget=BUDGET,
        limits=LIMITS,
        seed=1,
        trials=trials + 1,
    )


def _candidates(strategy: Strategy, record: Record, trials: int) -> Iterator[Candidate]:
    """The strategy's first networks, then random networks, in a sampler's name where it is one.

    An expansion is followed to its end; of a sampler only the base is its own.
    """
    while isinstance(asked := strategy.ask(record.trials()), Batch):
        known = {trial.candidate.digest for trial in record.trials()}
        yield from (c for c in asked.candidates if c.digest not in known)
        if isinstance(strategy, Sampling):
            break
    known = {trial.candidate.digest for trial in record.trials()}
    base = get_family("x3d").base
    space = Space("x3d", base, num_classes=CLASSES, budget=BUDGET, limits=LIMITS)
    for verdict in space.legal("random", 1, blocks=64):
        step = len(known)
        if step == trials:
            return
        plan = verdict.plan
        assert plan is not None
        if plan.digest in known:
            continue
        known.add(plan.digest)
        place = (None, None, BASELINE)
        if isinstance(strategy, Sampling):
            place = (step, None, strategy.sampler)
        yield Candidate(
            verdict.genotype,
            plan,
            get_family(plan.family).cost(plan).macs,
            *place,
            label=f"random-{step}",
        )
    raise SystemExit(f"there are fewer than {trials} networks in the space")


def _answer(record: Record, candidate: Candidate, clips: tuple[str, ...]) -> None:
    family = get_family("x3d")
    cost = family.cost(candidate.plan).totals()
    provenance = {"seed": 1, "device": "cpu", "threads": 2, "workers": 1, "versions": versions()}
    number = record.begin(candidate, cost, provenance)
    record.put_training(number, TrainingKey(), _training(candidate, clips))
    record.finish(number, "complete")


def _training(candidate: Candidate, clips: tuple[str, ...]) -> Training:
    """A training whose accuracy grows with the cost, and with luck."""
    rng = random.Random(candidate.digest)
    accuracy = min(0.95, 0.3 + 0.5 * candidate.macs / BUDGET + rng.uniform(-0.1, 0.1))
    scores = []
    for number, clip in enumerate(clips):
        right = rng.random() < accuracy
        nll = rng.uniform(0.01, 1.0) if right else rng.uniform(0.8, 4.0)
        rank = 0 if right else rng.randrange(1, CLASSES)
        scores.append(ClipScore(clip, number % CLASSES, rank, nll, f"scene{number % 30}"))
    curve = tuple(
        {
            "epoch": epoch,
            "loss": 2.3 / epoch,
            "accuracy": accuracy,
            "lr": 0.1,
            "seconds": 9.87 * epoch,
        }
        for epoch in range(1, 9)
    )
    macs = 3 * candidate.macs * 1000
    environment = {
        "torch": "2.13.0+cpu",
        "device": "cpu",
        "threads": 2,
        "layout": "channels_last_3d",
        "amp": "off",
        "bn_batch": 16,
    }
    return Training("ok", None, tuple(scores), 1000, macs, 80.0, 2**30, curve, (), environment)


def _line(row: dict[str, Any]) -> str:
    cells = (f"{key} {value:.3f} s" for key, value in row.items() if isinstance(value, float))
    return f"{row['trials']:>6} {row['strategy']:<7} {'  '.join(cells)}"


if __name__ == "__main__":
    main()
