"""The benchmarks' pictures, and a description of the machine, from the CSV files of one folder.

    python benchmarks/draw.py [results/benchmarks]

Draws what is there: peer_step.csv (clips per second against multiply-adds), whole_job.csv (wall
time against budget) and record.csv (size of a study against the time to read it). `--machine`
writes machine.txt alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from expand3d.study.session import versions

OURS, THEIRS, THIRD, FOURTH = "#D55E00", "#0072B2", "#009E73", "#8E3B76"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/benchmarks"))
    parser.add_argument("--machine", action="store_true", help="describe the machine and stop")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.machine:
        (folder / "machine.txt").write_text(machine())
        return
    for name, draw in (("peer_step", _steps), ("whole_job", _jobs), ("record", _records)):
        table = folder / f"{name}.csv"
        if table.exists():
            draw(pd.read_csv(table), folder / f"{name}.png")


def machine() -> str:
    """Processor, cores, memory, system, versions and commit, one per line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    head = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    commit = subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()
    lines = [
        f"processor: {processor}, {len(os.sched_getaffinity(0))} cores for us",
        f"memory: {memory / 2**30:.1f} GiB",
        f"system: {platform.platform()}",
        *(f"{name}: {version}" for name, version in versions().items()),
        f"commit: {commit}",
    ]
    return "\n".join(lines) + "\n"


def _axes(x: str, y: str) -> tuple[pyplot.Figure, pyplot.Axes]:
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#e8ebee")
    axes.margins(0.15)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    return figure, axes


def _steps(table: pd.DataFrame, path: Path) -> None:
    """Clips per second of a training step, ours and the peer's, against the network's cost."""
    figure, axes = _axes("GMACs per clip", "clips per second, training step")
    for column, color in (("ours", OURS), ("pytorchvideo", THEIRS)):
        axes.plot(table["gmacs"], table[f"{column} clips/s"], "o-", color=color, label=column)
    for row in table.itertuples():
        text = f"{row.network}: {table.loc[row.Index, 'pytorchvideo / ours']:.1f}x"
        place = (row.gmacs, table.loc[row.Index, "ours clips/s"])
        axes.annotate(text, place, (5, 6), textcoords="offset points", fontsize=8)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _jobs(table: pd.DataFrame, path: Path) -> None:
    """Wall time of a whole search against its budget, beside plans and the plain script's."""
    figure, axes = _axes("budget, GMACs per clip", "minutes, end to end")
    table = table.assign(gmacs=table["budget"].str.extract(r"([\d.]+)")[0].astype(float))
    table = table.sort_values("gmacs")
    ran = table.dropna(subset="seconds")
    axes.plot(ran["gmacs"], ran["seconds"] / 60, "o-", color=OURS, label="expand3d run")
    axes.plot(ran["gmacs"], ran["trainings"] / 60, ".--", color=THIRD, label="of it, trainings")
    axes.plot(ran["gmacs"], ran["plain seconds"] / 60, "s", color=THEIRS, label="plain script")
    axes.plot(
        table["gmacs"],
        table["planned"].map(_minutes),
        "o:",
        color=FOURTH,
        markerfacecolor="white",
        label="the plan",
    )
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _minutes(text: str) -> float:
    """Minutes of '89 s', '4 min', '2 h 05 min'."""
    numbers = text.split()[::2]
    unit = {"s": 1 / 60, "min": 1, "h": 60}
    return sum(float(n) * unit[u] for n, u in zip(numbers, text.split()[1::2], strict=True))


def _records(table: pd.DataFrame, path: Path) -> None:
    """Seconds of each command against the number of trials, the slowest strategy."""
    figure, axes = _axes("trials of the study", "seconds")
    slowest = table.drop(columns="strategy").groupby("trials").max()
    for column, color in zip(
        ("resume", "status", "studies", "report"), (OURS, THEIRS, THIRD, FOURTH), strict=True
    ):
        axes.plot(slowest.index, slowest[column], "o-", color=color, label=column)
    axes.plot([1000, 10_000], [2, 15], "k_", markersize=14, label="aim")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
