"""Inference: latency at batch 1 and throughput at batch 32, beside the peer's and onnxruntime's.

    PYTHONPATH=. .venv-peers/bin/python benchmarks/inference.py [--threads 1] [--csv FILE]

Ours is the network as it is built, channels-last: in eval mode its blocks apply BatchNorm while a
tensor is read or written anyway, or within a convolution. The peer is pytorchvideo's create_x3d,
eager in NCDHW; onnxruntime, where it and onnx are installed, runs our network, whose BatchNorms it
folds into convolutions. The variants take turns, a pass each, in processes of their own.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from train_step import PEER_NETWORKS, Network, peak_megabytes, peer_network, resolved, take_turns

from expand3d.networks import get_family

BATCHES = (1, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()

    rows = []
    for network in PEER_NETWORKS:
        for clips in options.batches:
            rows.append(measure(network, clips, options.threads, options.repeats))
            print(rows[-1], flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def measure(network: Network, clips: int, threads: int, repeats: int) -> dict[str, Any]:
    """One row: milliseconds of a pass of each variant, its time over ours with spread, peak MB."""
    variants = ["ours", "pytorchvideo"]
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        variants.append("onnxruntime")
    tasks = [(variant, network, clips, threads) for variant in variants]
    turns, peaks = take_turns(_work, tasks, repeats)
    row: dict[str, Any] = {"network": network.label, "clips": clips, "threads": threads}
    for index, variant in enumerate(variants):
        row[f"{variant} ms"] = round(1000 * statistics.median(turn[index] for turn in turns), 2)
        if index:
            ratios = sorted(turn[index] / turn[0] for turn in turns)
            row[f"{variant} / ours"] = round(statistics.median(ratios), 2)
            row[f"{variant} / ours, low"] = round(ratios[0], 2)
            row[f"{variant} / ours, high"] = round(ratios[-1], 2)
        row[f"{variant} peak MB"] = round(peaks[index])
    return row


def _work(pipe: Connection, variant: str, network: Network, clips: int, threads: int) -> None:
    """Answer each request with the seconds of one pass, and the last with the peak memory in MB."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape = (clips, 3, network.frames, network.crop, network.crop)
    with torch.inference_mode():
        run = _pass(variant, network, torch.randn(shape), threads)
        while not pipe.recv():
            start = time.perf_counter()
            run()
            pipe.send(time.perf_counter() - start)
    pipe.send(peak_megabytes())


def _pass(variant: str, network: Network, x: Any, threads: int) -> Callable[[], Any]:
    """One forward pass of the variant."""
    import torch

    if variant == "pytorchvideo":
        peer = peer_network(network).eval()
        return lambda: peer(x)
    plan = resolved(network)[1]
    net = get_family(plan.family).build(plan).eval()
    if variant == "onnxruntime":
        return _onnx(net, x, threads)
    net.to(memory_format=torch.channels_last_3d)
    x = x.to(memory_format=torch.channels_last_3d)
    return lambda: net(x)


def _onnx(net: Any, x: Any, threads: int) -> Callable[[], Any]:
    import onnxruntime
    import torch

    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, input_names=["clips"], dynamo=False)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), settings)
    clips = x.numpy()
    return lambda: session.run(None, {"clips": clips})


if __name__ == "__main__":
    main()
