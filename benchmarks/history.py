"""Draw the systems of docs/history.md in order: what each costs, and what it scored in print.

    python benchmarks/history.py --out results/history

Costs are computed here, of one clip at the printed crop; accuracies are those that docs/history.md
quotes, of other data, pretraining and views for each.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from expand3d.networks import get_family, get_preset
from expand3d.report.plot import INK, MUTED, new_figure, save_figures, title


class System(NamedTuple):
    """A system: its year, its preset, its family here, and what its authors printed."""

    year: int
    name: str
    preset: str
    family: str
    top1: str


SYSTEMS = (
    System(2014, "Two-stream", "twostream-cnnm", "twostream", "86.9 UCF101"),
    System(2015, "C3D", "c3d", "c3d", "82.3 UCF101"),
    System(2016, "Fusion", "fusion-vgg16", "fusion", "92.5 UCF101"),
    System(2016, "TSN", "tsn-bninception", "tsn", "94.0 UCF101"),
    System(2017, "Hidden two-stream", "hidden-motionnet-vgg16", "hidden_twostream", "89.8 UCF101"),
    System(2017, "I3D, two streams", "i3d-twostream", "i3d_twostream", "74.2 Kinetics"),
    System(2017, "R3D", "r3d-18", "r3d", "64.7 Kinetics"),
    System(2017, "R(2+1)D", "r2plus1d-18", "r2plus1d", "68.5 Kinetics"),
    System(2017, "T3D", "t3d-121", "t3d", "91.7 UCF101"),
    System(2017, "S3D", "s3d", "s3d", "72.1 Kinetics"),
    System(2018, "SlowFast 4x16", "slowfast-4x16-r50", "slowfast", "75.6 Kinetics"),
    System(2020, "X3D-M", "x3d-m", "x3d", "76.2 Kinetics"),
)
#: Systems whose figure does not count the optical flow that they need.
WITH_FLOW = ("twostream", "fusion", "tsn", "i3d_twostream")


def costs(system: System) -> dict[str, float]:
    """GMACs and millions of parameters of the printed network, and GMACs of the family's base."""
    preset = get_preset(system.preset)
    family = get_family(system.family)
    whole = family.cost(family.resolve(preset.genotype, num_classes=preset.num_classes))
    base = family.cost(family.resolve(family.base, num_classes=6))
    return {
        "gmacs": whole.macs / 1e9,
        "params_M": whole.params / 1e6,
        "base_gmacs": base.macs / 1e9,
    }


def draw(rows: list[tuple[System, dict[str, float]]], out: Path) -> list[Path]:
    """The picture, as PNG and SVG."""

    def figure():
        made = new_figure(8.2, 5.2)
        axes = made.add_subplot()
        for place, (system, cost) in enumerate(rows):
            colour = "#b4572c" if system.family in WITH_FLOW else "#2c6fb4"
            axes.plot([cost["base_gmacs"], cost["gmacs"]], [place] * 2, color="#dddddd", zorder=1)
            axes.scatter(cost["gmacs"], place, s=46, color=colour, zorder=2)
            axes.scatter(cost["base_gmacs"], place, s=26, facecolor="white", edgecolor=colour)
            axes.annotate(
                f"{cost['gmacs']:.3g} G, {system.top1}",
                (cost["gmacs"], place),
                xytext=(7, -3),
                textcoords="offset points",
                fontsize=8,
                color=INK,
            )
        axes.set_yticks(range(len(rows)), [f"{s.year}  {s.name}" for s, _ in rows], fontsize=9)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(0.01, 3000)
        axes.set_xlabel("GMACs of one clip; hollow: the base that trains here", color=MUTED)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        title(
            made,
            "Twelve networks, and what they cost",
            ["orange: optical flow has to be computed beside it, which no figure counts"],
        )
        return made

    return save_figures(figure, out, "history")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/history"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = [(system, costs(system)) for system in SYSTEMS]
    with (out / "history.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*System._fields, *rows[0][1]])
        for system, cost in rows:
            table.writerow([*system, *(f"{value:.4g}" for value in cost.values())])
    for path in draw(rows, out):
        print(path)


if __name__ == "__main__":
    main()
