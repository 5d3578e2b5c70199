"""Our convolutions over all arguments of nn.Conv3d: the same results, or a refusal."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from expand3d.networks.ops.conv import ChannelwiseConv3d, FramewiseConv3d
from tests.helpers.examples import examples

MODES = ("zeros", "reflect", "replicate", "circular")
LAYOUTS = (torch.contiguous_format, torch.channels_last_3d)
#: By type, the largest difference relative to the largest number.
CLOSE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.complex128: 1e-12}


def triples(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * 3)


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of nn.Conv3d, mostly with a kernel of one frame."""
    groups = draw(st.integers(1, 3))
    one_frame = st.tuples(st.just(1), st.integers(1, 4), st.integers(1, 4))
    padding = triples(0, 2) | st.tuples(st.just(0), *[st.integers(0, 2)] * 2)
    return {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": draw(one_frame | st.just((1, 1, 1)) | triples(1, 3) | st.integers(1, 3)),
        "stride": draw(triples(1, 3) | st.just((1, 1, 1)) | st.integers(1, 2)),
        "padding": draw(padding | st.sampled_from(("same", "valid")) | st.integers(0, 1)),
        "dilation": draw(st.just((1, 1, 1)) | triples(1, 2) | st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.just("zeros") | st.sampled_from(MODES)),
    }


sizes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


def results(module: nn.Module, x: Tensor, seed: int, *, learn: bool) -> list[Tensor]:
    """The output and, where asked, the gradients of the input and all parameters."""
    if not learn:
        with torch.no_grad():
            return [module(x)]
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = module(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), weights)]


def assert_same(ours: nn.Module, reference: nn.Module, x: Tensor, *, learn: bool) -> None:
    """Both give the same numbers, or neither takes `x`; the reference is of twice the precision."""
    exact = x.dtype if x.is_complex() else torch.float64
    try:
        wanted = results(reference, x.to(exact), 1, learn=learn)
    except (RuntimeError, ValueError):
        with pytest.raises((RuntimeError, ValueError)):
            results(ours, x, 1, learn=learn)
        return
    found = results(ours, x, 1, learn=learn)
    for value, expected in zip(found, wanted, strict=True):
        assert value.shape == expected.shape and value.dtype == x.dtype
        largest = float(expected.abs().max())
        # Sums over a batch cancel: rounding is of what was summed, which is of the size of 1.
        assert float((value.to(exact) - expected).abs().max()) <= CLOSE[x.dtype] * max(1, largest)


@settings(max_examples=examples(200))
@given(
    given_arguments=arguments(),
    size=sizes,
    dtype=st.sampled_from((torch.float64, torch.float32)),
    layout=st.sampled_from(LAYOUTS),
    learn=st.booleans(),
)
def test_a_framewise_convolution_is_nn_conv3d_whatever_its_arguments(
    given_arguments: dict[str, Any],
    size: tuple[int, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    learn: bool,
) -> None:
    torch.manual_seed(0)
    try:
        reference = nn.Conv3d(**given_arguments, dtype=torch.float64)
    except (ValueError, RuntimeError) as error:
        with pytest.raises(type(error)):
            FramewiseConv3d(**given_arguments)
        return
    ours = FramewiseConv3d(**given_arguments, dtype=dtype)
    ours.load_state_dict(reference.state_dict())
    reference.load_state_dict(ours.state_dict())  # rounded alike
    count, *clip = size
    x = torch.randn(count, given_arguments["in_channels"], *clip, dtype=dtype)
    assert_same(ours, reference, x.contiguous(memory_format=layout), learn=learn)


@settings(max_examples=examples(200))
@given(
    channels=st.integers(1, 6),
    kernel=triples(1, 5) | st.tuples(st.integers(1, 7), st.just(1), st.just(1)) | st.just((3,) * 3),
    stride=st.integers(1, 3),
    size=sizes,
    dtype=st.sampled_from((torch.float64, torch.float32)),
    layout=st.sampled_from(LAYOUTS),
    learn=st.booleans(),
)
def test_a_channelwise_convolution_is_nn_conv3d_or_refuses(
    channels: int,
    kernel: tuple[int, int, int],
    stride: int,
    size: tuple[int, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    learn: bool,
) -> None:
    torch.manual_seed(0)
    if any(side % 2 == 0 for side in kernel):  # no padding keeps the frames
        with pytest.raises(ValueError, match=r"kernel \(.*\): odd"):
            ChannelwiseConv3d(channels, kernel, stride=stride)
        return
    if stride > 1 and kernel[1:] == (1, 1):
        with pytest.raises(ValueError, match="has no spatial stride"):
            ChannelwiseConv3d(channels, kernel, stride=stride)
        return
    ours = ChannelwiseConv3d(channels, kernel, stride=stride)
    padding = tuple(side // 2 for side in kernel)
    reference = nn.Conv3d(
        channels, channels, kernel, (1, stride, stride), padding, groups=channels, bias=False
    )
    reference.load_state_dict(ours.state_dict())
    count, *clip = size
    x = torch.randn(count, channels, *clip, dtype=dtype).contiguous(memory_format=layout)
    assert_same(ours.to(dtype), reference.double(), x, learn=learn)


CHANGES: dict[str, Any] = {
    "dilation": (1, 2, 2),
    "stride": (2, 1, 1),
    "padding": (0, 0, 0),
    "padding_mode": "replicate",
    "bias": nn.Parameter(torch.arange(4.0)),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 1, 1)])
def test_what_is_changed_afterwards_is_respected(name: str, kernel: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    ours = ChannelwiseConv3d(4, kernel)
    setattr(ours, name, copy.deepcopy(CHANGES[name]))
    padding = tuple(side // 2 for side in kernel)
    plain = nn.Conv3d(4, 4, kernel, padding=padding, groups=4, bias=False)
    setattr(plain, name, copy.deepcopy(CHANGES[name]))
    plain.load_state_dict(ours.state_dict())
    assert_same(ours, plain.double(), torch.randn(2, 4, 6, 7, 7), learn=True)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("kind", ["framewise", "channelwise", "temporal"])
def test_complex_numbers_are_differentiated_as_torch_does(kind: str) -> None:
    torch.manual_seed(0)
    made: dict[str, nn.Conv3d] = {
        "framewise": FramewiseConv3d(4, 4, (1, 3, 3), padding=(0, 1, 1)),
        "channelwise": ChannelwiseConv3d(4, (3, 3, 3), stride=2),
        "temporal": ChannelwiseConv3d(4, (3, 1, 1)),
    }
    ours = made[kind].to(torch.complex128)
    with torch.no_grad():
        for each in ours.parameters():
            each.copy_(torch.randn_like(each))
    plain = nn.Conv3d(
        4,
        4,
        ours.kernel_size,
        ours.stride,
        ours.padding,
        groups=ours.groups,
        bias=ours.bias is not None,
        dtype=torch.complex128,
    )
    plain.load_state_dict(ours.state_dict())
    assert_same(ours, plain, torch.randn(2, 4, 3, 6, 6, dtype=torch.complex128), learn=True)
