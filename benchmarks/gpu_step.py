"""X3D's training on an NVIDIA GPU beside eager pytorchvideo's: its speed, and its memory.

    PYTHONPATH=. .venv-peers/bin/python benchmarks/gpu_step.py [--clips 64] [--repeats 20] [--csv F]

`make test-peers` makes .venv-peers, with pytorchvideo; with `--alone` any environment does. On a
machine with a GPU its torch brings Triton. Three tables, all under bfloat16 autocast, of random
clips:

- the channel-wise operators against float64, on this GPU; a wrong one ends the benchmark;
- seconds of a training step (forward, backward, SGD): ours, and create_x3d of the same sizes in
  NCDHW and channels-last. Variants take turns, a step each, and a ratio is made within one turn;
- per operator the bytes that it must move, over its time and over the bandwidth of a large copy.

Kernels are compiled before anything is timed; what that took is printed too. Without a GPU or
without Triton nothing is run: one line says so, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.networks import get_family
from expand3d.networks.ops.gpu import channelwise_conv3d, channelwise_path

#: 4x160, 13x160 and 16x224, of the same widths and depths, by name and pytorchvideo's factors.
NETWORKS = ("x3d-xs", "x3d-s", "x3d-m")
FACTORS = {"width_factor": 2.0, "depth_factor": 2.2, "bottleneck_factor": 2.25}
CLASSES = 400
LAYOUT = torch.channels_last_3d
Step = Callable[[], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Operator:
    """A channel-wise convolution of X3D at crop 160: its sizes and how often a step has it."""

    channels: int
    side: int
    kernel: tuple[int, int, int]
    stride: int
    layers: int

    @property
    def label(self) -> str:
        size = "x".join(map(str, self.kernel))
        return f"{size} /{self.stride}, {self.channels} of {self.side}x{self.side}"


OPERATORS = (
    Operator(24, 80, (5, 1, 1), 1, 1),
    Operator(54, 80, (3, 3, 3), 2, 1),
    Operator(54, 40, (3, 3, 3), 1, 2),
    Operator(108, 40, (3, 3, 3), 2, 1),
    Operator(108, 20, (3, 3, 3), 1, 4),
    Operator(216, 20, (3, 3, 3), 2, 1),
    Operator(216, 10, (3, 3, 3), 1, 10),
    Operator(432, 10, (3, 3, 3), 2, 1),
    Operator(432, 5, (3, 3, 3), 1, 6),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64, help="clips of a step (default 64)")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="also ours under torch.compile")
    parser.add_argument("--alone", action="store_true", help="ours only, without pytorchvideo")
    parser.add_argument("--csv", type=Path, help="also write the tables here, as FILE and FILE.ops")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(_not_run("torch sees no NVIDIA GPU here"))
    if channelwise_path("cuda") != "triton":
        sys.exit(_not_run("Triton is not installed, or the GPU is older than it compiles for"))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.clips} clips")
    start = time.perf_counter()
    check()
    print(f"operators equal float64; compiled and checked in {time.perf_counter() - start:.1f} s")
    steps = []
    for name in NETWORKS:
        steps.append(measure_steps(name, options))
        print(_line(steps[-1]), flush=True)
    copy = copy_bandwidth()
    print(f"a copy of 4 GiB moves {copy / 1e12:.2f} TB/s")
    shares = [row for operator in OPERATORS for row in measure_operator(operator, options, copy)]
    for row in shares:
        print(_line(row), flush=True)
    if options.csv:
        _write(options.csv, steps)
        _write(options.csv.with_suffix(f".ops{options.csv.suffix}"), shares)


def _not_run(reason: str) -> int:
    print(f"not run: {reason}")
    return 2


# Correctness


def check() -> None:
    """Nothing; raises where an operator or a gradient is further from float64 than its type."""
    for operator in OPERATORS:
        for dtype in (torch.float32, torch.bfloat16):
            x, weight, grad = _tensors(operator, 1, 5, dtype)
            got = _forward_backward(x, weight, grad, operator.stride)
            wanted = _reference(x, weight, grad, operator.stride)
            for name, value, expected in zip(("y", "dx", "dw"), got, wanted, strict=True):
                error = float((value.double() - expected).norm() / expected.norm())
                limit = 1e-5 if value.dtype == torch.float32 else 2**-8
                if not error < limit:
                    raise SystemExit(f"wrong: {name} of {operator.label} in {dtype}: {error:.2g}")


def _tensors(
    operator: Operator, clips: int, frames: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (clips, operator.channels, frames)
    out = (operator.side - 1) // operator.stride + 1
    x, grad = (
        torch.randn(*shape, side, side, device="cuda", dtype=dtype).to(memory_format=LAYOUT)
        for side in (operator.side, out)
    )
    return x, torch.randn(operator.channels, 1, *operator.kernel, device="cuda"), grad


def _forward_backward(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, ...]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = channelwise_conv3d(x, weight, stride)
    return (y.detach(), *torch.autograd.grad(y, (x, weight), grad))


def _reference(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, ...]:
    x, weight = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    padding = [side // 2 for side in weight.shape[2:]]
    y = F.conv3d(x, weight, None, (1, stride, stride), padding, 1, len(weight))
    return (y.detach(), *torch.autograd.grad(y, (x, weight), grad.double()))


# A training step


def measure_steps(name: str, options: argparse.Namespace) -> Row:
    """Clips per second of our step, and per variant its time over ours with the spread."""
    family = get_family("x3d")
    plan = family.resolve(family.presets[name].genotype, num_classes=CLASSES)
    frames, crop = plan.frames, plan.crop
    variants: dict[str, tuple[nn.Module, torch.memory_format]] = {
        "ours": (family.build(plan), LAYOUT),
    }
    if not options.alone:
        variants["pytorchvideo NCDHW"] = (_peer(frames, crop), torch.contiguous_format)
        variants["pytorchvideo channels-last"] = (_peer(frames, crop), LAYOUT)
    if options.compile:
        variants["ours compiled"] = (family.build(plan), LAYOUT)
    shape = (options.clips, 3, frames, crop, crop)
    steps, begun = {}, {}
    for variant, (net, layout) in variants.items():
        steps[variant] = _step(net, shape, layout, compiled=variant == "ours compiled")
        begun[variant] = _seconds(lambda step=steps[variant]: [step() for _ in range(3)])
    turns = [{v: _seconds(step) for v, step in steps.items()} for _ in range(options.repeats)]
    ours = statistics.median(turn["ours"] for turn in turns)
    row: Row = {"network": f"{frames}x{crop}", "clips/s": round(options.clips / ours, 1)}
    for variant in steps:
        if variant != "ours":
            ratios = sorted(turn[variant] / turn["ours"] for turn in turns)
            row[f"{variant} / ours"] = round(statistics.median(ratios), 2)
            row[f"{variant} / ours, low"] = round(ratios[0], 2)
            row[f"{variant} / ours, high"] = round(ratios[-1], 2)
        row[f"{variant} first 3 steps s"] = round(begun[variant], 1)
    return row


def _peer(frames: int, crop: int) -> nn.Module:
    try:
        from pytorchvideo.models.x3d import create_x3d
    except ImportError:
        sys.exit(_not_run("pytorchvideo is not installed; `make test-peers` makes .venv-peers"))
    net: nn.Module = create_x3d(
        input_clip_length=frames,
        input_crop_size=crop,
        model_num_class=CLASSES,
        head_activation=None,
        **FACTORS,
    )
    return net


def _step(
    net: nn.Module, shape: tuple[int, ...], layout: torch.memory_format, *, compiled: bool
) -> Step:
    net = net.train().cuda().to(memory_format=layout)  # type: ignore[call-overload]
    forward = torch.compile(net) if compiled else net
    x = torch.randn(shape, device="cuda").to(memory_format=layout)
    labels = torch.randint(0, CLASSES, shape[:1], device="cuda")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = F.cross_entropy(forward(x), labels)
        loss.backward()
        optimizer.step()

    return step


# Operators


def measure_operator(operator: Operator, options: argparse.Namespace, copy: float) -> list[Row]:
    """Per operator and gradient: milliseconds, and the share of the bandwidth that it reaches."""
    x, weight, grad = _tensors(operator, options.clips, 4, torch.bfloat16)
    ops = torch.ops.expand3d
    large, small = x.nbytes, grad.nbytes  # read or written once; weights are small
    parts: tuple[tuple[str, Callable[[], Any], int], ...] = (
        ("forward", lambda: channelwise_conv3d(x, weight, operator.stride), large + small),
        (
            "input gradient",
            lambda: ops.channelwise_conv3d_input_gradient(grad, x, weight, operator.stride),
            large + small,
        ),
        (
            "weight gradient",
            lambda: ops.channelwise_conv3d_weight_gradient(grad, x, weight, operator.stride),
            large + small,
        ),
    )
    rows = []
    for name, call, moved in parts:
        seconds = _kernel_seconds(call, options.repeats)
        row = {"operator": operator.label, "layers": operator.layers, "part": name}
        row |= {"ms": round(seconds * 1e3, 4), "share": round(moved / seconds / copy, 3)}
        rows.append(row)
    return rows


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of copying 4 GiB on the device."""
    source = torch.empty(2**32, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    return 2 * source.nbytes / _kernel_seconds(lambda: target.copy_(source), 10)


def _kernel_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median seconds of `call` with a cold cache, without its launch.

    It is launched while the device still writes other memory.
    """
    flush = torch.empty(2**31, dtype=torch.uint8, device="cuda")
    times = []
    for _ in range(repeats + 3):
        flush.zero_()
        times.append(_seconds(call))
    return statistics.median(times[3:])


def _seconds(call: Callable[[], Any]) -> float:
    """Seconds between two events around `call` on the device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def _line(row: Row) -> str:
    return "  ".join(f"{key} {value}" for key, value in row.items())


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
