"""The GPU's channel-wise convolution against float64: on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from expand3d.core import process
from expand3d.networks import get_family
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import conv as ops
from expand3d.networks.ops import gpu as ops_gpu
from expand3d.networks.ops.conv import ChannelwiseConv3d
from expand3d.networks.ops.gpu import channelwise_autocast, channelwise_conv3d, channelwise_path

HAS_TRITON = importlib.util.find_spec("triton") is not None
HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"
needs_triton = pytest.mark.skipif(
    not HAS_TRITON,
    reason="Triton is not installed: `make test-triton` installs it",
)
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU here")

SPATIAL, TEMPORAL = (3, 3, 3), (5, 1, 1)

with pytest.MonkeyPatch.context() as patch:  # Triton reads at its first import if it interprets
    if not HAS_GPU:
        patch.setenv("TRITON_INTERPRET", "1")
    if HAS_TRITON:
        from expand3d.networks.ops import triton as ops_triton

# clips, channels, frames, height, width; kernel; stride
CASES = [
    ((1, 10, 3, 6, 8), SPATIAL, 1),
    ((1, 54, 2, 7, 5), SPATIAL, 1),
    ((2, 9, 1, 5, 7), SPATIAL, 1),
    ((1, 4, 16, 2, 3), SPATIAL, 1),
    ((2, 10, 3, 6, 8), SPATIAL, 2),
    ((1, 70, 4, 5, 7), SPATIAL, 2),
    ((3, 9, 1, 7, 5), SPATIAL, 2),
    ((2, 6, 2, 1, 1), SPATIAL, 2),
    ((2, 24, 4, 3, 8), TEMPORAL, 1),
    ((1, 35, 1, 4, 5), TEMPORAL, 1),
    ((2, 4, 2, 3, 3), (3, 1, 1), 1),
]
Case = tuple[tuple[int, ...], tuple[int, int, int], int]


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """Without a GPU, kernels are interpreted, on the CPU's tensors."""
    with pytest.MonkeyPatch.context() as patch:
        if not HAS_GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        yield


def _tensors(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and the gradient of the output; the weight is always float32."""
    (clips, channels, frames, *sides), kernel, stride = case
    torch.manual_seed(clips * channels + frames)
    out = [(side + stride - 1) // stride for side in sides]
    x = torch.randn(clips, channels, frames, *sides).to(DEVICE, dtype)
    grad = torch.randn(clips, channels, frames, *out).to(DEVICE, dtype)
    return x, torch.randn(channels, 1, *kernel).to(DEVICE), grad


def _reference(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, ...]:
    x, weight = (tensor.detach().double().cpu().requires_grad_() for tensor in (x, weight))
    padding = [side // 2 for side in weight.shape[2:]]
    y = F.conv3d(x, weight, None, (1, stride, stride), padding, 1, len(weight))
    return (y.detach(), *torch.autograd.grad(y, (x, weight), grad.double().cpu()))


def _ours(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> tuple[Tensor, ...]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = channelwise_conv3d(x, weight, stride)
    return (y.detach(), *torch.autograd.grad(y, (x, weight), grad))


def _relative(value: Tensor, reference: Tensor) -> float:
    return float((value.detach().double().cpu() - reference).norm() / reference.norm())


@needs_triton
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_gradients_equal_float64(case: Case) -> None:
    x, weight, grad = _tensors(case)
    assert ops_gpu._kernels(x, weight, case[2]) is not None
    got, wanted = _ours(x, weight, grad, case[2]), _reference(x, weight, grad, case[2])
    for name, value, expected in zip(("y", "dx", "dw"), got, wanted, strict=True):
        assert value.shape == expected.shape
        assert _relative(value, expected) < 1e-6, name


@needs_triton
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stride", [1, 2])
def test_half_precision_is_rounded_once(dtype: torch.dtype, stride: int) -> None:
    x, weight, grad = _tensors(((1, 10, 3, 5, 6), SPATIAL, stride), dtype)
    y, dx, dw = _ours(x, weight, grad, stride)
    expected = _reference(x, weight, grad, stride)
    assert (y.dtype, dx.dtype, dw.dtype) == (dtype, dtype, torch.float32)
    rounding = torch.finfo(dtype).eps / 2
    assert _relative(y, expected[0]) < rounding and _relative(dx, expected[1]) < rounding
    assert _relative(dw, expected[2]) < 1e-6  # sums and result are float32


@needs_triton
@pytest.mark.parametrize("stride", [1, 2])
def test_weight_gradient_over_several_tiles_a_program(
    stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops_triton, "WEIGHT_PROGRAMS", 3)
    x, weight, grad = _tensors(((2, 33, 1, 8, 7), SPATIAL, stride))
    first, second = (_ours(x, weight, grad, stride) for _ in range(2))
    assert _relative(first[2], _reference(x, weight, grad, stride)[2]) < 1e-6
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_triton
@pytest.mark.parametrize("kernel, stride", [(SPATIAL, 1), (SPATIAL, 2), (TEMPORAL, 1)])
def test_the_operator_keeps_torchs_contract(kernel: tuple[int, int, int], stride: int) -> None:
    x, weight, _ = _tensors(((1, 4, 1, 3, 2), kernel, stride))
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        sample = x.to(memory_format=layout).detach().requires_grad_()
        torch.library.opcheck(channelwise_conv3d, (sample, weight.requires_grad_(), stride))
    y = channelwise_conv3d(x, weight, stride)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@needs_triton
def test_it_compiles_without_a_break() -> None:
    x, weight, grad = _tensors(((1, 4, 2, 4, 4), SPATIAL, 2))
    x, weight = x.requires_grad_(), weight.requires_grad_()

    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return channelwise_autocast(x, weight, 2).relu()

    compiled = torch.compile(forward, backend="aot_eager", fullgraph=True)
    results = []
    for function in (forward, compiled):
        y = function(x, weight)
        results.append((y, *torch.autograd.grad(y, (x, weight), grad)))
    for eager, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, eager, rtol=0, atol=0)


@needs_triton
def test_under_autocast_the_input_is_rounded_and_the_weight_is_not() -> None:
    x, weight, _ = _tensors(((1, 6, 2, 4, 4), SPATIAL, 1))
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        y = channelwise_autocast(x, weight, 1)
    assert y.dtype == torch.bfloat16
    expected = _reference(x.bfloat16(), weight, torch.ones_like(y), 1)[0]
    assert _relative(y, expected) < torch.finfo(torch.bfloat16).eps / 2


@needs_triton
def test_the_kernels_compile_for_a_gpu_and_fit_its_registers(tmp_path: Path) -> None:
    environment = {key: v for key, v in process.environment().items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    script = [sys.executable, "-m", "tests.helpers.sm90"]
    done = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 7
    # 168 registers: three programs of 128 threads on a multiprocessor of 65536.
    assert all(int(registers) <= 168 and stack == "0" for _, registers, stack in lines), lines


@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[8]], ids=str)
def test_without_triton_it_is_atens(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_gpu, "HAS_TRITON", False)
    x, weight, grad = _tensors(case)
    assert ops_gpu._kernels(x, weight, case[2]) is None
    wanted = _reference(x, weight, grad, case[2])
    for value, expected in zip(_ours(x, weight, grad, case[2]), wanted, strict=True):
        assert _relative(value, expected) < 1e-6


@pytest.mark.parametrize("stride", [1, 2])
def test_float64_is_atens_and_equals_finite_differences(stride: int) -> None:
    x = torch.randn(1, 2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert ops_gpu._kernels(x, weight, stride) is None
    assert torch.autograd.gradcheck(
        lambda *inputs: channelwise_conv3d(*inputs, stride), (x, weight)
    )


class _Names(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("has_triton", [True, False])
def test_a_module_on_a_gpu_calls_it_where_triton_is(
    has_triton: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake tensors stand for a GPU's: nothing is computed."""
    monkeypatch.setattr(ops, "HAS_TRITON", has_triton)
    conv = ChannelwiseConv3d(6, SPATIAL, stride=2)
    with FakeTensorMode(), _Names() as seen, torch.no_grad():
        x = torch.empty(2, 6, 3, 5, 7, device="cuda")
        conv.weight = torch.nn.Parameter(torch.empty(6, 1, 3, 3, 3, device="cuda"))
        y = conv(x)
    assert y.shape == (2, 6, 3, 3, 4) and y.device.type == "cuda"
    assert ("expand3d.channelwise_conv3d.default" in seen.names) == has_triton
    assert ("aten.convolution.default" in seen.names) != has_triton


def test_the_path_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channelwise_path("cpu") == ("compiled" if kernels.available() else "torch")
    assert channelwise_path("cpu", autocast=True) == "aten"
    for has_triton, capable, path in (
        (True, True, "triton"),
        (True, False, "aten"),
        (False, True, "aten"),
    ):
        monkeypatch.setattr(ops_gpu, "HAS_TRITON", has_triton)
        monkeypatch.setattr(ops_gpu, "_capable", lambda device, answer=capable: answer)
        assert channelwise_path("cuda") == path


@needs_triton
@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_network_on_a_gpu_equals_float64(compiled: bool) -> None:
    family = get_family("x3d")
    torch.manual_seed(0)
    plan = family.resolve(family.base.replace(gamma_t=4, gamma_b=2.25), num_classes=5)
    net = family.build(plan, dropout=0.0).eval()
    x = torch.randn(2, 3, 4, 112, 112)
    with torch.no_grad():
        expected = net.double()(x.double())
        net = net.float().to("cuda", memory_format=torch.channels_last_3d)
        forward = torch.compile(net) if compiled else net
        got = forward(x.cuda().to(memory_format=torch.channels_last_3d))
    assert _relative(got, expected) < 1e-3  # pointwise convolutions may use TF32


@needs_triton
@needs_gpu
def test_sizes_beyond_32_bits() -> None:
    if torch.cuda.get_device_properties(0).total_memory < 24e9:
        pytest.skip("a GPU of less than 24 GB")
    x = torch.randn(1, 64, 1, 1, 1, device="cuda", dtype=torch.bfloat16)
    x = x.expand(700, 64, 16, 56, 56).contiguous(memory_format=torch.channels_last_3d)
    assert x.numel() > 2**31
    weight = torch.randn(64, 1, 3, 3, 3, device="cuda")
    y = channelwise_conv3d(x, weight, 1)
    assert torch.equal(y[0], y[-1])
