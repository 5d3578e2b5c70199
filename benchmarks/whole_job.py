"""A whole short search: `expand3d run`, and the same candidates by a plain script, in one run.

    python benchmarks/whole_job.py [--budget 0.05GFLOPs] [--threads 2] [--visits 1000] [--csv FILE]
    python benchmarks/whole_job.py --budget 4GFLOPs --plan     # what it would take

The plain script (plain_search.py: pytorchvideo, PyAV in a Dataset, fvcore, Optuna) trains the
networks that the search tried, for as many clip visits on the same videos; `make test-peers` makes
its environment. Both begin without decoded clips; the bundled videos are rendered before. Also says
how much of the search's time its trainings took, and how far off the plan was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from expand3d.data.source import resolve_source
from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
from expand3d.networks.families.x3d import X3DPlan
from expand3d.run.events import Watch
from expand3d.run.prepare import prepare
from expand3d.study.config import NamedConfig
from expand3d.study.record import Record

PEERS = Path(".venv-peers/bin/python")
#: A row of the table; what was not measured stays empty.
COLUMNS = (
    "budget",
    "threads",
    "candidates",
    "clip_visits",
    "seconds",
    "planned",
    "trainings",
    "driver share",
    "waited",
    "tested",
    "plain seconds",
    "plain / ours",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="0.05GFLOPs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--visits", type=int, default=1_000)
    parser.add_argument("--alone", action="store_true", help="leave the plain script out")
    parser.add_argument("--plan", action="store_true", help="ask for the plan and stop there")
    parser.add_argument("--csv", type=Path, help="also write the row here, below others")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.plan:
            row = dict.fromkeys(COLUMNS) | planned(options, Path(folder))
        else:
            os.environ["EXPAND3D_CACHE"] = str(Path(folder) / "cache")
            resolve_source("bundled", say=print)
            row = dict.fromkeys(COLUMNS) | measure(options, Path(folder))
    print(json.dumps(row, indent=2))
    if options.csv:
        begun = options.csv.exists()
        with options.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if not begun:
                writer.writeheader()
            writer.writerow(row)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds end to end of both, and of the search's trainings; the plan's prediction."""
    config, words = _study(options, folder)
    started = time.perf_counter()
    run = _expand3d(words)
    ours = time.perf_counter() - started
    record = Record.open("job", root=folder)
    trainings = [training for trial in record.trials() for training in trial.trainings.values()]
    session = record.sessions()[0]
    assert session.stopped is not None
    recorded = datetime.fromisoformat(session.stopped) - datetime.fromisoformat(session.started)
    spent = sum(training.seconds for training in trainings)
    row: dict[str, Any] = {
        "budget": config.budget.text,
        "threads": options.threads,
        "candidates": len(record.trials()),
        "clip_visits": sum(training.clip_visits for training in trainings),
        "seconds": round(ours, 1),
        "planned": _planned(run.stderr),
        "trainings": round(spent, 1),
        "driver share": round(1 - spent / max(recorded.total_seconds(), 1), 4),
        "waited": round(sum(training.waited_seconds for training in trainings), 2),
        "tested": round(sum(training.test_seconds for training in trainings), 1),
    }
    if not options.alone:
        job = folder / "job.json"
        job.write_text(json.dumps(_job(config, record, options)))
        started = time.perf_counter()
        here = {**os.environ, "PYTHONPATH": "."}
        subprocess.run([str(PEERS), "benchmarks/plain_search.py", str(job)], env=here, check=True)
        row["plain seconds"] = round(time.perf_counter() - started, 1)
        row["plain / ours"] = round(row["plain seconds"] / ours, 2)
    return row


def planned(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The time that the search takes, by its plan."""
    config, words = _study(options, folder)
    said = _planned(_expand3d([*words, "--plan"]).stderr)
    return {"budget": config.budget.text, "threads": options.threads, "planned": said}


def _study(options: argparse.Namespace, folder: Path) -> tuple[NamedConfig, list[str]]:
    """The study that is run, and the words that run it."""
    config = NamedConfig(
        budget=options.budget,
        name="job",
        root=str(folder),
        threads=options.threads,
        final=False,
        recipe={"clip_visits": options.visits},
    )
    words = ["run", "--budget", config.budget.text, "--study", "job", "--root", str(folder)]
    words += ["--threads", str(options.threads), "--no-final"]
    return config, [*words, "--recipe", f"clip_visits={options.visits}"]


def _expand3d(words: list[str]) -> subprocess.CompletedProcess[str]:
    """A command of ours; what it says of its progress is kept."""
    return subprocess.run(
        [sys.executable, "-m", "expand3d", *words], check=True, stderr=subprocess.PIPE, text=True
    )


def _planned(text: str) -> str:
    """The plan's total time as it was printed before the first training."""
    found = re.search(r"^ *all .*~ (.+?) *$", text, re.MULTILINE)
    return found[1] if found else ""


def _job(config: NamedConfig, record: Record, options: argparse.Namespace) -> dict[str, Any]:
    """The input of the plain script: networks, videos and the recipe's numbers."""
    ready = prepare(config, Watch())
    job, videos = ready.bench.jobs[0], ready.bench.store.manifest.videos  # type: ignore[attr-defined]
    networks = []
    for trial in record.trials():
        plan = trial.candidate.plan
        assert isinstance(plan, X3DPlan)
        arguments = create_x3d_arguments(plan, trial.candidate.genotype)
        clip = {"frames": plan.frames, "stride": plan.stride, "crop": plan.crop}
        arguments.pop("head_activation", None)  # the plain script asks for logits
        networks.append({"create_x3d": arguments, **clip})
    recipe = ready.bench.recipe
    return {
        "networks": networks,
        "train": [[str(videos[i].path), videos[i].label] for i in job.train],
        "val": [[str(videos[i].path), videos[i].label] for i in job.held_out],
        "clip_visits": options.visits,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "threads": options.threads,
    }


if __name__ == "__main__":
    main()
