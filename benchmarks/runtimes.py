"""Latency of X3D-XS, S and M in every runtime: ours in torch, eager pytorchvideo, those that ship.

    PYTHONPATH=. .venv-peers/bin/python benchmarks/runtimes.py [--threads 1] [--csv FILE]
    python benchmarks/runtimes.py --show FILE         the table of a CSV, for docs/PERFORMANCE.md

One clip at a time in float32; the files are those that `expand3d export` writes. The variants take
turns, a pass each, in processes of their own, so that whatever else the machine does meets all of
them. What is not installed is left out, and said. Ratios are of passes of one turn.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from train_step import take_turns

from expand3d.core.plugins import RUNTIMES
from expand3d.interop.verify import absent
from expand3d.networks import all_presets, get_family

PRESETS = ("x3d-xs", "x3d-s", "x3d-m")
OURS, PEER = "ours", "pytorchvideo"
SHIPPED = ("onnxruntime", "openvino", "onnxruntime-int8", "openvino-int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15, help="turns that count (default 15)")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--int8", action="store_true", help="the runtimes in 8 bits too")
    parser.add_argument("--csv", type=Path, help="also write the rows here")
    parser.add_argument(
        "--show", type=Path, help="print the table of this CSV, and measure nothing"
    )
    options = parser.parse_args()
    if options.show:
        with options.show.open(newline="") as file:
            print(table(list(csv.DictReader(file))))
        return
    variants = here(int8=options.int8)
    rows = []
    for preset in options.presets:
        rows += measure(preset, variants, options.threads, options.repeats)
        for row in rows[-len(variants) :]:
            print(row, flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    print(table(rows))


def here(*, int8: bool) -> list[str]:
    """Ours and those of the others that are installed."""
    found = [OURS]
    if importlib.util.find_spec(PEER):
        found.append(PEER)
    found += [name for name in SHIPPED if not absent(RUNTIMES.row(name).needs)]
    if not int8:
        found = [name for name in found if not name.endswith("int8")]
    wanted = [OURS, PEER, *(name for name in SHIPPED if int8 or not name.endswith("int8"))]
    if missing := [name for name in wanted if name not in found]:
        print(f"not installed, left out: {', '.join(missing)}")
    return found


def measure(
    preset: str, variants: Sequence[str], threads: int, repeats: int
) -> list[dict[str, Any]]:
    """A row for each variant: quartiles of its passes in ms, and of their time over ours."""
    turns, _ = take_turns(_work, [(variant, preset, threads) for variant in variants], repeats)
    rows = []
    for index, variant in enumerate(variants):
        times = _quartiles([1000 * turn[index] for turn in turns])
        ratios = _quartiles([turn[index] / turn[0] for turn in turns])
        rows.append(
            {
                "network": preset,
                "runtime": variant,
                "threads": threads,
                "passes": repeats,
                **dict(zip(("low ms", "median ms", "high ms"), times, strict=True)),
                **dict(zip(("low / ours", "median / ours", "high / ours"), ratios, strict=True)),
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown: a line for each network and runtime."""
    lines = ["| network | runtime | one clip (quartiles) | / ours |", "|---|---|---|---|"]
    for row in rows:
        clip = f"{_f(row, 'median ms')} ms ({_f(row, 'low ms')} to {_f(row, 'high ms')})"
        ratio = f"{_f(row, 'median / ours')} ({_f(row, 'low / ours')} to {_f(row, 'high / ours')})"
        name = f"| {row['network']} | {row['runtime']} | {clip} |"
        lines.append(f"{name} {'1' if row['runtime'] == OURS else ratio} |")
    return "\n".join(lines)


def _f(row: dict[str, Any], key: str) -> str:
    return f"{float(row[key]):.3g}"


def _quartiles(values: Sequence[float]) -> list[float]:
    return [round(each, 3) for each in statistics.quantiles(values, n=4, method="inclusive")]


def _work(pipe: Connection, variant: str, preset: str, threads: int) -> None:
    """Answer each request with the seconds of one pass, and the last with 0."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with (
        tempfile.TemporaryDirectory(prefix="expand3d-runtimes-") as scratch,
        torch.inference_mode(),
    ):
        run = _pass(variant, preset, threads, Path(scratch))
        while not pipe.recv():
            start = time.perf_counter()
            run()
            pipe.send(time.perf_counter() - start)
    pipe.send(0.0)


def _pass(variant: str, preset: str, threads: int, scratch: Path) -> Callable[[], object]:
    """One forward pass of the variant."""
    import torch

    from expand3d.measure.runtimes import passes
    from expand3d.networks.example import example

    genotype = all_presets()[preset].genotype
    family = get_family(genotype.family)
    plan = family.resolve(genotype)
    (clip,) = example(plan, 1)
    if variant == PEER:
        return _peer(plan, genotype, clip)
    network = family.build(plan).eval()
    if variant == OURS:
        network.to(memory_format=torch.channels_last_3d)
        ours = clip.to(memory_format=torch.channels_last_3d)
        return lambda: network(ours)
    with torch.inference_mode(False):  # exporting traces the network
        run, _ = passes(variant, network, plan, (clip.clone(),), threads=threads, folder=scratch)
    return run


def _peer(plan: Any, genotype: Any, clip: Any) -> Callable[[], object]:
    """Eager pytorchvideo, in the layout that it has of itself."""
    from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
    from tests.helpers.torchvision_operators import declare

    kept = declare()
    from pytorchvideo.models.x3d import create_x3d

    arguments = create_x3d_arguments(plan, genotype)
    network = create_x3d(**arguments, head_activation=None).eval()

    def run() -> object:
        assert kept is not None  # torch forgets the schemas when their library goes
        return network(clip)

    return run


if __name__ == "__main__":
    main()
