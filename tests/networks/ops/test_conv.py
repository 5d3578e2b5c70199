"""The fast channel-wise convolution against float64 and against plain nn.Conv3d."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from expand3d.networks import get_family
from expand3d.networks.ops import conv as ops
from expand3d.networks.ops.conv import ChannelwiseConv3d, FramewiseConv3d

SPATIAL, TEMPORAL = (3, 3, 3), (5, 1, 1)
FORMATS = [torch.contiguous_format, torch.channels_last_3d]
# clips, channels, frames, height, width
SHAPES = [
    (1, 8, 1, 7, 9),
    (3, 12, 1, 16, 16),
    (1, 54, 2, 13, 8),
    (2, 24, 3, 9, 7),
    (5, 16, 4, 14, 14),
    (2, 10, 5, 4, 4),
    (4, 432, 2, 7, 7),
    (2, 6, 4, 1, 1),
]


def _plain(conv: ChannelwiseConv3d, dtype: torch.dtype) -> nn.Conv3d:
    plain = nn.Conv3d(
        conv.in_channels,
        conv.in_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        groups=conv.in_channels,
        bias=False,
    )
    plain.load_state_dict(conv.state_dict(), strict=True)
    return plain.to(dtype)


def _forward_backward(module: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = module(x)
    gradients = torch.autograd.grad(y, (x, *module.parameters()), grad)
    return (y.detach(), *gradients)


def _relative(value: Tensor, reference: Tensor) -> float:
    return float((value.double() - reference).norm() / reference.norm())


@pytest.mark.parametrize("memory_format", FORMATS, ids=["ncdhw", "channels_last"])
@pytest.mark.parametrize("kernel, stride", [(SPATIAL, 1), (SPATIAL, 2), (TEMPORAL, 1)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_gradients_equal_float64(
    shape: tuple[int, ...],
    kernel: tuple[int, int, int],
    stride: int,
    memory_format: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(sum(shape))
    conv = ChannelwiseConv3d(shape[1], kernel, stride=stride)
    reference = _plain(conv, torch.float64)
    x = torch.randn(shape)
    with torch.no_grad():
        grad = torch.randn_like(reference(x.double()))
    wanted = _forward_backward(reference, x.double(), grad)
    for piece_bytes in (1, ops.PIECE_BYTES):  # clip by clip, and many clips at once
        monkeypatch.setattr(ops, "PIECE_BYTES", piece_bytes)
        got = _forward_backward(
            conv, x.to(memory_format=memory_format), grad.float().to(memory_format=memory_format)
        )
        for name, value, expected in zip(("y", "dx", "dw"), got, wanted, strict=True):
            assert value.shape == expected.shape
            assert _relative(value, expected) < 1e-5, name


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("kernel, stride", [(SPATIAL, 1), (SPATIAL, 2), (TEMPORAL, 1)])
def test_gradients_equal_finite_differences(
    kernel: tuple[int, int, int], stride: int, frames: int
) -> None:
    conv = ChannelwiseConv3d(3, kernel, stride=stride).double()
    x = torch.randn(2, 3, frames, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: conv(x), (x, conv.weight))


def test_only_what_is_asked_for_is_differentiated() -> None:
    conv = ChannelwiseConv3d(8, SPATIAL, stride=2)
    x = torch.randn(2, 8, 3, 6, 6)
    conv(x).sum().backward()
    assert conv.weight.grad is not None and x.grad is None
    conv.requires_grad_(False)
    x.requires_grad_()
    (alone,) = torch.autograd.grad(conv(x).sum(), x)
    (expected,) = torch.autograd.grad(_plain(conv, torch.float32)(x).sum(), x)
    torch.testing.assert_close(alone, expected)


def test_without_gradients_it_gives_the_same_values() -> None:
    x = torch.randn(2, 8, 4, 6, 6)
    for kernel in (SPATIAL, TEMPORAL):
        conv = ChannelwiseConv3d(8, kernel)
        with torch.no_grad():
            torch.testing.assert_close(conv(x), _plain(conv, torch.float32)(x))


@pytest.mark.parametrize("kernel", [SPATIAL, TEMPORAL])
def test_a_trace_sees_a_plain_conv3d(kernel: tuple[int, int, int]) -> None:
    conv = ChannelwiseConv3d(8, kernel, stride=2 if kernel == SPATIAL else 1)
    x = torch.randn(2, 8, 1, 6, 6)
    assert "_Channelwise" in type(conv(x).grad_fn).__name__
    counts, plain = (FlopCountAnalysis(module, x) for module in (conv, _plain(conv, x.dtype)))
    assert counts.by_operator() == plain.by_operator()
    side = 3 if kernel == SPATIAL else 6
    assert counts.total() == 2 * 8 * math.prod(kernel) * side * side
    assert not counts.unsupported_ops()


def _network(**factors: float) -> nn.Module:
    family = get_family("x3d")
    torch.manual_seed(0)
    net = family.build(family.resolve(family.base.replace(**factors), num_classes=5), dropout=0.0)
    for module in net.modules():  # the zero-initialised last BN would hide the inner gradients
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net


def _with_plain_convolutions(net: nn.Module) -> nn.Module:
    net = copy.deepcopy(net).double()
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ChannelwiseConv3d):
                setattr(parent, name, _plain(child, torch.float64))
    assert not any(isinstance(module, ChannelwiseConv3d) for module in net.modules())
    return net


@pytest.mark.parametrize("frames", [1, 3])
def test_the_network_in_float64_is_the_network_of_plain_convolutions(frames: int) -> None:
    net = _network(gamma_t=frames, gamma_b=1.5).double()
    plain = _with_plain_convolutions(net)
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    x = torch.randn(3, 3, frames, 40, 56, dtype=torch.float64)
    wanted = _forward_backward(plain, x, torch.ones(3, 5, dtype=torch.float64))
    x = x.to(memory_format=torch.channels_last_3d)
    got = _forward_backward(net, x, torch.ones(3, 5, dtype=torch.float64))
    for value, expected in zip(got, wanted, strict=True):
        assert _relative(value, expected) < 1e-9


def test_two_runs_are_bitwise_equal() -> None:
    net = _network(gamma_t=2).to(memory_format=torch.channels_last_3d)
    x = torch.randn(4, 3, 2, 48, 48)
    grad = torch.randn(4, 5)
    first, second = (_forward_backward(net, x, grad) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "clip"),
    [
        (24, 54, 1, (1, 1, 1), (2, 4, 14, 14)),
        (24, 54, 1, (1, 1, 1), (1, 1, 1, 1)),  # squeeze and excite
        (8, 16, 1, (1, 2, 2), (2, 1, 56, 56)),  # a strided 1x1 that torch itself gets wrong
        (8, 16, 1, (2, 2, 2), (3, 5, 11, 9)),
        (3, 24, (1, 3, 3), (1, 2, 2), (2, 3, 17, 12)),
        (6, 10, (1, 7, 7), (2, 2, 2), (1, 4, 15, 15)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_framewise_convolution_is_nn_conv3d_in_float64(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int, int],
    stride: tuple[int, int, int],
    clip: tuple[int, int, int, int],
    bias: bool,
) -> None:
    torch.manual_seed(0)
    side = kernel if isinstance(kernel, int) else kernel[1]
    padding = (0, side // 2, side // 2)
    ours = FramewiseConv3d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)
    exact = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=bias).double()
    exact.load_state_dict(ours.state_dict())
    count, *size = clip
    x = torch.randn(count, inputs, *size, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    y, y64 = ours(x), exact(x64)
    grad = torch.randn_like(y64)
    y.backward(grad.float())
    y64.backward(grad)
    pairs = [(y, y64), (x.grad, x64.grad), (ours.weight.grad, exact.weight.grad)]
    if bias:
        pairs.append((ours.bias.grad, exact.bias.grad))
    for mine, theirs in pairs:
        assert mine.shape == theirs.shape
        assert (mine.double() - theirs).abs().max() <= 1e-5 * theirs.abs().max()
