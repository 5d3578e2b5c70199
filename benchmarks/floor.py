"""The distance of a training step from what this machine's memory and arithmetic allow.

    python benchmarks/floor.py [--threads 1] [--clips 8] [--repeats 5] [--csv FILE]

The floor of a step is the larger of two times, as if they overlapped perfectly. Arithmetic: three
times the forward pass's multiply-adds, at the speed of a large float32 matrix product. Memory:
every convolution's output is written once and read once in the forward pass, read again in the
backward pass, and its gradient is written and read, so five times the activations, at the speed of
a copy that does not fit the cache. BatchNorm, ReLU, Swish and SE are free, as if fused into
convolutions. Copies, products and steps are timed in turns.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from train_step import PEER_NETWORKS, resolved

from expand3d.networks import get_family
from expand3d.training.peak_memory import keep_freed_memory

TRAFFIC, PRODUCTS = 5, 3
#: Elements of the copied tensor (512 MB) and side of the multiplied matrices.
COPIED, SIDE = 2**27, 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    source, target = torch.ones(COPIED), torch.empty(COPIED)
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    rows = []
    for network in PEER_NETWORKS:
        plan = resolved(network)[1]
        step = _step(plan, options.clips)
        step()
        turns = [
            (_seconds(lambda: target.copy_(source)), _seconds(lambda: left @ right), _seconds(step))
            for _ in range(options.repeats)
        ]
        copy, product, ours = (statistics.median(times) for times in zip(*turns, strict=True))
        cost = get_family(plan.family).cost(plan)
        bandwidth, speed = 2 * 4 * COPIED / copy, SIDE**3 / product
        memory = TRAFFIC * 4 * cost.activations * options.clips / bandwidth
        arithmetic = PRODUCTS * cost.macs * options.clips / speed
        floor = max(memory, arithmetic)
        rows.append(
            {
                "network": network.label,
                "clips": options.clips,
                "threads": options.threads,
                "copy GB/s": round(bandwidth / 1e9, 1),
                "product GMACs/s": round(speed / 1e9, 1),
                "memory ms": round(1000 * memory, 1),
                "arithmetic ms": round(1000 * arithmetic, 1),
                "step ms": round(1000 * ours, 1),
                "step / floor": round(ours / floor, 1),
            }
        )
        print(rows[-1], flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _step(plan: Any, clips: int) -> Callable[[], object]:
    layout = torch.channels_last_3d
    net = get_family(plan.family).build(plan).train().to(memory_format=layout)
    views = torch.randn(clips, 3, plan.frames, plan.crop, plan.crop).to(memory_format=layout)
    labels = torch.zeros(clips, dtype=torch.long)

    def step() -> None:
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(views), labels).backward()

    return step


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
