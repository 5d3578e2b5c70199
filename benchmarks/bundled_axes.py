"""Does more of each axis help on the bundled clips? Trained networks, several seeds, paired tests.

    python benchmarks/bundled_axes.py [--seeds 3] [--threads 2] [--out results/bundled_axes]

For every axis two networks that differ in it alone are trained alike and scored on the same
validation clips. A training is kept as JSON under studies/bundled-axes/ when it is done, so an
interrupted experiment goes on where it was. Writes axes.csv and axes.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from expand3d.data.scenes import PAIRS
from expand3d.evaluate import Bench, make_jobs, train_once
from expand3d.families import get_family
from expand3d.genotype import Genotype
from expand3d.prepare import Prepared, prepare
from expand3d.study.config import StudyConfig
from expand3d.study.folder import write_atomic
from expand3d.train.checkpoint import discard
from expand3d.train.result import ClipScore, Training
from expand3d.watch import Watch

SCRATCH = Path("studies/bundled-axes")
RESAMPLES = 10_000
TWO, FOUR = {"gamma_t": 2, "gamma_tau": 14}, {"gamma_t": 4, "gamma_tau": 12}


@dataclass(frozen=True)
class Question:
    """`more` against `less`, which it differs from in one respect, at so many clip visits."""

    axis: str
    text: str
    less: dict[str, float]
    more: dict[str, float]
    visits: int = 1_000


QUESTIONS = (
    Question("frames", "2x14 against one frame", {}, TWO),
    Question("gamma_tau", "4x7 against 2x14: frame rate", TWO, {"gamma_t": 4, "gamma_tau": 7}),
    Question("gamma_t", "4x12 against 2x14: length and rate", TWO, FOUR),
    Question(
        "duration",
        "4x14 against 4x7: length alone",
        {"gamma_t": 4, "gamma_tau": 7},
        {"gamma_t": 4, "gamma_tau": 14},
    ),
    Question("gamma_s", "160 against 112 pixels", FOUR, {**FOUR, "gamma_s": 160 / 112}),
    Question("gamma_d", "depth 2.2 against 1", TWO, {**TWO, "gamma_d": 2.2}, 3_000),
    Question("gamma_w", "width 1.45 against 1", TWO, {**TWO, "gamma_w": 1.45}, 3_000),
    Question("gamma_b", "bottleneck 2.25 against 1", TWO, {**TWO, "gamma_b": 2.25}, 3_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/bundled_axes"))
    args = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    config = StudyConfig(budget="0.5GFLOPs", name="bundled-axes", threads=args.threads)
    ready = prepare(config, Watch())
    rows = []
    for question in QUESTIONS:
        less, more = (
            [scores(ready, factors, question.visits, seed) for seed in range(args.seeds)]
            for factors in (question.less, question.more)
        )
        rows.append({**dataclasses.asdict(question), **compare(less, more)})
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table["commit"] = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    table.to_csv(args.out / "axes.csv", index=False, float_format="%.4g")
    draw(table, args.out / "axes.png")


def scores(
    ready: Prepared, factors: dict[str, float], visits: int, seed: int
) -> tuple[ClipScore, ...]:
    """The validation scores of one network trained once, from the scratch folder if it is there."""
    family = get_family("x3d")
    genotype = Genotype("x3d", {**family.base.factors, **factors})
    plan = family.resolve(genotype, num_classes=len(ready.store.class_names))
    bench = _bench(ready, visits, seed)
    name = hashlib.sha256(bench.identity(plan).encode()).hexdigest()[:16]
    done = SCRATCH / f"{name}.json"
    if not done.exists():
        checkpoint = SCRATCH / f"{name}.pt"
        training = train_once(
            plan,
            bench,
            bench.jobs[0],
            checkpoint=checkpoint,
            stop=lambda: False,
            on_progress=lambda progress: None,
        )
        write_atomic(done, json.dumps(training.to_json()).encode())
        discard(checkpoint)
    training = Training.from_json(json.loads(done.read_text()))
    assert training.status == "ok", training.reason
    return training.scores


def _bench(ready: Prepared, visits: int, seed: int) -> Bench:
    job = ready.bench.jobs[0]
    recipe = dataclasses.replace(ready.bench.recipe, clip_visits=visits)
    jobs = make_jobs(train=job.train, val=job.held_out, folds=(), repeats=1, seed=seed)
    return dataclasses.replace(ready.bench, recipe=recipe, jobs=jobs)


def compare(
    less: Sequence[tuple[ClipScore, ...]], more: Sequence[tuple[ClipScore, ...]]
) -> dict[str, object]:
    """Accuracies, their difference with its 95% interval over scenes, and a sign-flip p-value.

    A clip's score is its share of right answers over the seeds; scenes (both classes of a pair in
    one setting) are what is resampled and flipped, since their clips are not independent.
    """
    groups, a = _by_scene(less)
    same, b = _by_scene(more)
    assert groups == same
    differences = b - a
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(groups), (RESAMPLES, len(groups)))
    low, high = np.percentile(differences[drawn].mean(axis=1), (2.5, 97.5))
    signs = rng.choice([-1, 1], (RESAMPLES, len(groups)))
    flipped = np.abs((signs * differences).mean(axis=1))
    extreme = int((flipped >= abs(differences.mean()) - 1e-12).sum())
    by_pair = {
        f"gain_{pair.name}": float(
            np.mean([d for g, d in zip(groups, differences, strict=True) if f"-{pair.name}-" in g])
        )
        for pair in PAIRS
    }
    return {
        "top1_less": float(a.mean()),
        "top1_more": float(b.mean()),
        "gain": float(differences.mean()),
        "gain_low": float(low),
        "gain_high": float(high),
        "p": (extreme + 1) / (RESAMPLES + 1),
        "seed_gains": json.dumps(
            [round(_top1(y) - _top1(x), 4) for x, y in zip(less, more, strict=True)]
        ),
        **by_pair,
    }


def _top1(scored: Sequence[ClipScore]) -> float:
    return float(np.mean([score.rank == 0 for score in scored]))


def _by_scene(seeds: Sequence[tuple[ClipScore, ...]]) -> tuple[list[str], np.ndarray]:
    """Scenes in order of name with their mean share of right answers over clips and seeds."""
    found: dict[str, list[int]] = {}
    for scored in seeds:
        for score in scored:
            found.setdefault(score.group or score.key, []).append(score.rank == 0)
    names = sorted(found)
    return names, np.array([np.mean(found[name]) for name in names])


def draw(table: pd.DataFrame, path: Path) -> None:
    """Each axis's gain in points of top-1 with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(table) + 1.4), layout="constrained")
    places = np.arange(len(table))[::-1]
    gain, low, high = (100 * table[name] for name in ("gain", "gain_low", "gain_high"))
    axes.barh(places, gain, color="#d55e00", height=0.5)
    axes.errorbar(gain, places, xerr=[gain - low, high - gain], fmt="none", color="#333333")
    axes.axvline(0, color="#333333", linewidth=0.8)
    labels = [f"{row.text}\n{row.visits:,} clip visits" for row in table.itertuples()]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_xlabel("gain in top-1, points (95% interval over scenes)")
    axes.spines[["top", "right"]].set_visible(False)
    for place, end, p in zip(places, high, table["p"], strict=True):
        axes.annotate(
            f"p = {p:.2g}", (max(end, 0), place), (4, 0), textcoords="offset points", va="center"
        )
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
