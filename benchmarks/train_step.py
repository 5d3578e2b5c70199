"""How much faster one training step is than with plain nn.Conv3d, at several sizes of X3D.

    python benchmarks/train_step.py [--clips 16] [--threads 1] [--repeats 7] [--csv FILE]

A step is forward, backward and SGD on random clips. Each variant has a process of its own, because
keeping freed memory concerns a whole process; the variants take turns, a step each, and a ratio is
made within one turn, so that a busy machine slows both of its sides.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing as mp
import resource
import statistics
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

VARIANTS = ("ours", "plain channels-last", "plain NCDHW")


@dataclass(frozen=True)
class Network:
    """An X3D setting: frames, frame stride, crop and bottleneck factor."""

    frames: int
    stride: int
    crop: int
    bottleneck: float

    @property
    def label(self) -> str:
        return f"{self.frames}x{self.crop} b{self.bottleneck:g}"


NETWORKS = (
    Network(1, 1, 112, 1.0),
    Network(2, 14, 112, 2.25),
    Network(4, 12, 112, 2.25),
    Network(4, 12, 160, 2.25),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips of a step (default 16)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--csv", help="also write the table here")
    options = parser.parse_args()

    rows = []
    for network in NETWORKS:
        rows.append(measure(network, options.clips, options.threads, options.repeats))
        print(_line(rows[-1]), flush=True)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def measure(network: Network, clips: int, threads: int, repeats: int) -> dict[str, Any]:
    """One row: seconds of our step, then per plain variant its time over ours, and peak MB."""
    context = mp.get_context("spawn")
    pipes, workers = [], []
    for variant in VARIANTS:
        here, there = context.Pipe()
        worker = context.Process(target=_work, args=(there, variant, network, clips, threads))
        worker.start()
        there.close()
        pipes.append(here)
        workers.append(worker)
    turns = [[_ask(pipe) for pipe in pipes] for _ in range(repeats + 2)][2:]  # two to warm up
    peaks = [_ask(pipe, last=True) for pipe in pipes]
    for worker in workers:
        worker.join()

    row: dict[str, Any] = {"network": network.label, "clips": clips, "threads": threads}
    row["seconds"] = round(statistics.median(turn[0] for turn in turns), 4)
    for index, variant in enumerate(VARIANTS):
        if index:
            ratios = sorted(turn[index] / turn[0] for turn in turns)
            row[f"{variant} / ours"] = round(statistics.median(ratios), 2)
            row[f"{variant} / ours, low"] = round(ratios[0], 2)
            row[f"{variant} / ours, high"] = round(ratios[-1], 2)
        row[f"{variant} peak MB"] = round(peaks[index])
    return row


def _ask(pipe: Connection, *, last: bool = False) -> float:
    pipe.send(last)
    answer: float = pipe.recv()
    return answer


def _work(pipe: Connection, variant: str, network: Network, clips: int, threads: int) -> None:
    """Answer each request with the seconds of one step, and the last with the peak memory in MB."""
    import torch
    from torch.nn import functional as F

    from expand3d.families import get_family
    from expand3d.families.ops import keep_freed_memory

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    family = get_family("x3d")
    genotype = family.base.replace(
        gamma_t=network.frames,
        gamma_tau=network.stride,
        gamma_s=network.crop / 112,
        gamma_b=network.bottleneck,
    )
    net = family.build(family.resolve(genotype, num_classes=10))
    layout = torch.contiguous_format if variant == "plain NCDHW" else torch.channels_last_3d
    if variant == "ours":
        keep_freed_memory()
    else:
        _use_plain_convolutions(net)
    net.to(memory_format=layout)  # type: ignore[call-overload]
    shape = (clips, 3, network.frames, network.crop, network.crop)
    x = torch.randn(shape).to(memory_format=layout)
    labels = torch.randint(0, 10, (clips,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    while not pipe.recv():
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        pipe.send(time.perf_counter() - start)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _use_plain_convolutions(net: Any) -> None:
    """Make every channel-wise convolution of `net` the nn.Conv3d that it extends."""
    from torch import nn

    from expand3d.families.ops import ChannelwiseConv3d

    for module in net.modules():
        if isinstance(module, ChannelwiseConv3d):
            # Same attributes and parameters: only forward differs.
            module.__class__ = nn.Conv3d  # type: ignore[assignment]


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['network']:>12}  {row['seconds'] * 1e3:7.1f} ms"]
    for variant in VARIANTS[1:]:
        key = f"{variant} / ours"
        parts.append(f"{key} {row[key]:.2f} ({row[key + ', low']:.2f}-{row[key + ', high']:.2f})")
    peaks = " / ".join(str(row[f"{variant} peak MB"]) for variant in VARIANTS)
    return "  ".join([*parts, f"peak MB {peaks}"])


if __name__ == "__main__":
    main()
