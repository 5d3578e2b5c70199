"""The speed of one training step beside plain nn.Conv3d's, at several sizes of X3D.

    python benchmarks/train_step.py [--clips 16] [--threads 1] [--repeats 7] [--csv FILE]
    PYTHONPATH=. .venv-peers/bin/python benchmarks/train_step.py --peer --clips 8 [--csv FILE]

The second compares with pytorchvideo's create_x3d as it is, eager in NCDHW; `make test-peers` makes
the environment, which has the same torch.

A step is forward, backward and SGD on random clips. Each variant has a process of its own, because
keeping freed memory concerns a whole process; the variants take turns, a step each, and a ratio is
made within one turn, so that a busy machine slows both of its sides.

A block with plain convolutions calls its modules one by one, as a network in plain torch does.
Up to commit e459911 it kept our fused BatchNorms, so that earlier ratios to "plain" are smaller.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing as mp
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import get_family

CLASSES = 10
PLAIN = ("plain channels-last", "plain NCDHW")
PEER = ("pytorchvideo",)


@dataclass(frozen=True)
class Network:
    """An X3D setting: frames, frame stride, crop, bottleneck and depth factors."""

    frames: int
    stride: int
    crop: int
    bottleneck: float
    depth: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.frames}x{self.crop} b{self.bottleneck:g}"


NETWORKS = (
    Network(1, 1, 112, 1.0),
    Network(2, 14, 112, 2.25),
    Network(4, 12, 112, 2.25),
    Network(4, 12, 160, 2.25),
)
#: X3D-XS's and X3D-S's body at clips from one frame to X3D-S's own.
PEER_NETWORKS = tuple(
    Network(frames, stride, crop, 2.25, 2.2)
    for frames, stride, crop in ((1, 1, 112), (4, 12, 112), (4, 12, 160), (13, 6, 160))
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips of a step (default 16)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--csv", help="also write the table here")
    parser.add_argument("--peer", action="store_true", help="compare with pytorchvideo")
    options = parser.parse_args()

    others = PEER if options.peer else PLAIN
    rows = []
    for network in PEER_NETWORKS if options.peer else NETWORKS:
        rows.append(measure(network, others, options.clips, options.threads, options.repeats))
        print(_line(rows[-1], others), flush=True)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def measure(
    network: Network, others: tuple[str, ...], clips: int, threads: int, repeats: int
) -> dict[str, Any]:
    """One row: seconds of our step, then per other variant its time over ours, and peak MB."""
    variants = ("ours", *others)
    turns, peaks = take_turns(
        _work, [(variant, network, clips, threads) for variant in variants], repeats
    )
    row: dict[str, Any] = {"network": network.label, "gmacs": _macs(network) / 1e9}
    row |= {"clips": clips, "threads": threads}
    row["seconds"] = round(statistics.median(turn[0] for turn in turns), 4)
    for index, variant in enumerate(variants):
        seconds = statistics.median(turn[index] for turn in turns)
        row[f"{variant} clips/s"] = round(clips / seconds, 2)
        if index:
            ratios = sorted(turn[index] / turn[0] for turn in turns)
            row[f"{variant} / ours"] = round(statistics.median(ratios), 2)
            row[f"{variant} / ours, low"] = round(ratios[0], 2)
            row[f"{variant} / ours, high"] = round(ratios[-1], 2)
        row[f"{variant} peak MB"] = round(peaks[index])
    return row


def take_turns(
    work: Callable[..., None], tasks: Sequence[tuple[Any, ...]], repeats: int
) -> tuple[list[list[float]], list[float]]:
    """The answers of each task's process in each turn, and last of all (its peak memory in MB).

    `work(pipe, *task)` answers every False that comes through its pipe, and then a True.
    """
    context = mp.get_context("spawn")
    pipes, workers = [], []
    for task in tasks:
        here, there = context.Pipe()
        worker = context.Process(target=work, args=(there, *task))
        worker.start()
        there.close()
        pipes.append(here)
        workers.append(worker)
    turns = [[_ask(pipe) for pipe in pipes] for _ in range(repeats + 2)][2:]  # two to warm up
    peaks = [_ask(pipe, last=True) for pipe in pipes]
    for worker in workers:
        worker.join()
    return turns, peaks


def _ask(pipe: Connection, *, last: bool = False) -> float:
    pipe.send(last)
    answer: float = pipe.recv()
    return answer


def _work(pipe: Connection, variant: str, network: Network, clips: int, threads: int) -> None:
    """Answer each request with the seconds of one step, and the last with the peak memory in MB."""
    import torch
    from torch.nn import functional as F

    from expand3d.training.peak_memory import keep_freed_memory

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layout = torch.channels_last_3d
    if variant in ("plain NCDHW", "pytorchvideo"):
        layout = torch.contiguous_format
    if variant == "pytorchvideo":
        net = peer_network(network)
    else:
        plan = resolved(network)[1]
        net = get_family(plan.family).build(plan)
    if variant == "ours":
        keep_freed_memory()
    elif variant in PLAIN:
        _use_plain_convolutions(net)
    net.to(memory_format=layout)  # type: ignore[call-overload]
    shape = (clips, 3, network.frames, network.crop, network.crop)
    x = torch.randn(shape).to(memory_format=layout)
    labels = torch.randint(0, CLASSES, (clips,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    while not pipe.recv():
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        pipe.send(time.perf_counter() - start)
    pipe.send(peak_megabytes())


def resolved(network: Network) -> tuple[Genotype, Plan]:
    """The network's genotype and plan with ten classes."""
    family = get_family("x3d")
    genotype = family.base.replace(
        gamma_t=network.frames,
        gamma_tau=network.stride,
        gamma_s=network.crop / 112,
        gamma_b=network.bottleneck,
        gamma_d=network.depth,
    )
    return genotype, family.resolve(genotype, num_classes=CLASSES)


def peer_network(network: Network) -> Any:
    """The same network as pytorchvideo builds it, with logits for its output."""
    from tests.helpers.torchvision_operators import declare

    library = declare()
    from pytorchvideo.models.x3d import create_x3d

    from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments

    genotype, plan = resolved(network)
    net = create_x3d(**{**create_x3d_arguments(plan, genotype), "head_activation": None})
    net.schemas = library  # torch forgets them when the library goes
    return net


def _macs(network: Network) -> int:
    plan = resolved(network)[1]
    return get_family(plan.family).cost(plan).macs


def peak_megabytes() -> float:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _use_plain_convolutions(net: Any) -> None:
    """Make every convolution of ours in `net` the nn.Conv3d that it extends."""
    from torch import nn

    from expand3d.networks.ops.conv import ChannelwiseConv3d, FramewiseConv3d

    for module in net.modules():
        if isinstance(module, ChannelwiseConv3d | FramewiseConv3d):
            # Same attributes and parameters: only forward differs.
            module.__class__ = nn.Conv3d  # type: ignore[assignment]


def _line(row: dict[str, Any], others: tuple[str, ...]) -> str:
    parts = [f"{row['network']:>12}  {row['seconds'] * 1e3:7.1f} ms"]
    for variant in others:
        key = f"{variant} / ours"
        parts.append(f"{key} {row[key]:.2f} ({row[key + ', low']:.2f}-{row[key + ', high']:.2f})")
    peaks = " / ".join(str(row[f"{variant} peak MB"]) for variant in ("ours", *others))
    return "  ".join([*parts, f"peak MB {peaks}"])


if __name__ == "__main__":
    main()
