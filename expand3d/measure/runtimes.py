"""Passes of a network in the runtimes that ship it, for a measurement of latency.

Each function gives one pass of one clip, and the words for how it was set up. The network is the
file that `expand3d export` writes, in float32, on the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.plugins import RUNTIMES
from expand3d.interop.verify import absent, named

if TYPE_CHECKING:
    from torch import Tensor, nn

#: One pass, and its setting in words.
Passes = tuple[Callable[[], object], str]
#: The runtime of trainings, which needs no file.
TORCH = "torch"


def is_shipped(device: str) -> bool:
    """True where a device's name is that of a runtime that reads a file."""
    return device != TORCH and device.partition(":")[0] in RUNTIMES


def is_elsewhere(device: str) -> bool:
    """True where a device's name is none of this machine's, so that a table has to know it."""
    return device not in RUNTIMES and re.fullmatch(r"cpu|mps|cuda(:\d+)?", device) is None


def refuse_absent(runtime: str) -> None:
    """Raise ConfigError that names what `runtime` needs and lacks here."""
    if missing := absent(RUNTIMES.row(runtime).needs):
        raise ConfigError(
            f"latency in {runtime} needs {' and '.join(missing)}: pip install "
            f"'expand3d[{RUNTIMES.row(runtime).extra}]'"
        )


def passes(
    runtime: str,
    network: nn.Module,
    plan: Plan,
    clips: tuple[Tensor, ...],
    *,
    threads: int,
    folder: Path,
) -> Passes:
    """One pass of `clips` through `network` as `runtime` runs it; its files lie in `folder`."""
    refuse_absent(runtime)
    make: Callable[..., Passes] = RUNTIMES.load(runtime)
    return make(network, plan, clips, threads=threads, folder=folder)


def onnxruntime(
    network: nn.Module, plan: Plan, clips: tuple[Tensor, ...], *, threads: int, folder: Path
) -> Passes:
    """A pass in ONNX Runtime's own kernels for the CPU, with all that it optimises."""
    from expand3d.interop import onnx

    file = folder / onnx.MODEL
    onnx.write_model(network, plan, file)
    session = onnx.session(file, threads=threads)
    fed = onnx.fed(session, clips)
    return lambda: session.run(None, fed), f"float32, {named('onnxruntime')}"


def openvino(
    network: nn.Module, plan: Plan, clips: tuple[Tensor, ...], *, threads: int, folder: Path
) -> Passes:
    """A pass in OpenVINO on the CPU, for the least latency."""
    from expand3d.interop import openvino

    file = folder / openvino.MODEL
    openvino.write_model(network, plan, file)
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    _, run = openvino.compiled(file, settings)
    return lambda: run(*clips), f"float32, {named('openvino')}"


def onnxruntime_int8(
    network: nn.Module, plan: Plan, clips: tuple[Tensor, ...], *, threads: int, folder: Path
) -> Passes:
    """The same in integers of 8 bits; random clips give the scales, on which no time depends."""
    from expand3d.interop import onnx

    session = onnx.session(_in_8_bits(network, plan, clips, folder), threads=threads)
    fed = onnx.fed(session, clips)
    return lambda: session.run(None, fed), f"int8, {named('onnxruntime')}"


def openvino_int8(
    network: nn.Module, plan: Plan, clips: tuple[Tensor, ...], *, threads: int, folder: Path
) -> Passes:
    """The same file in OpenVINO."""
    from expand3d.interop import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    _, run = openvino.compiled(_in_8_bits(network, plan, clips, folder), settings)
    return lambda: run(*clips), f"int8, {named('openvino')}"


def _in_8_bits(network: nn.Module, plan: Plan, clips: tuple[Tensor, ...], folder: Path) -> Path:
    """The network's ONNX file, quantised."""
    from expand3d.interop import onnx, onnx_int8

    floats, small = folder / onnx.MODEL, folder / onnx_int8.MODEL
    onnx.write_model(network, plan, floats)
    onnx_int8.quantise(floats, small, [onnx.fed(onnx.session(floats), clips)])
    return small
