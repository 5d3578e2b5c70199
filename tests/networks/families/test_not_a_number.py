"""NaN goes through compiled loops as it does through torch's operators, forward and backward."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from expand3d.networks.families.x3d_net import Bottleneck, Stem
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import x3d_block as ops_block

pytestmark = pytest.mark.skipif(
    not kernels.available(), reason="installed without a C compiler, or switched off"
)
NAN = math.nan


def _dense(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last_3d)


def _sums(x: Tensor) -> Tensor:
    return torch.zeros(x.shape[:2], dtype=torch.float64)


def _is_nan_where(value: Tensor, reference: Tensor) -> bool:
    return torch.equal(value.isnan(), reference.isnan())


@pytest.mark.parametrize("channels", [3, 8, 13])
def test_relu_keeps_it_with_and_without_a_residual(channels: int) -> None:
    x, residual = _dense(2, channels, 2, 3, 4), _dense(2, channels, 2, 3, 4)
    x[0, 1, 0, 2, 3] = residual[1, 2, 1, 0, 1] = NAN
    scale, shift = torch.rand(channels) + 0.5, torch.randn(channels)
    for other in (None, residual):
        wanted = x * scale.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)
        wanted = torch.relu(wanted if other is None else wanted + other)
        found = ops_block._norm_relu(x, scale, shift, other)
        torch.testing.assert_close(found, wanted, equal_nan=True)


@pytest.mark.parametrize("channels", [3, 8, 13])
def test_the_gradient_of_relu_passes_where_the_output_is_none(channels: int) -> None:
    out = torch.relu(_dense(2, channels, 2, 3, 4))
    out[0, 1, 0, 2, 3] = NAN
    x, grad = torch.randn_like(out), torch.randn_like(out)
    grad[1, 2, 1, 0, 1] = NAN
    masked, sums, products = torch.empty_like(x), _sums(x), _sums(x)
    arguments = (grad, out, x, torch.zeros(channels), masked, sums, products)
    kernels.call("relu_backward", *arguments, clips=2, sizes=(24, channels))
    wanted = torch.ops.aten.threshold_backward(grad, out, 0)
    assert wanted[0, 1, 0, 2, 3] == grad[0, 1, 0, 2, 3] != 0  # torch's own rule
    torch.testing.assert_close(masked, wanted, equal_nan=True)
    total = wanted.double().sum((2, 3, 4))
    torch.testing.assert_close(sums, total, equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, 1e30, -1e30])
def test_swish_and_its_gradient_are_finite_where_torchs_are(value: float) -> None:
    x, grad = _dense(1, 5, 1, 2, 3), _dense(1, 5, 1, 2, 3)
    x[0, 1, 0, 1, 1] = value
    ones, zeros = torch.ones(1, 5), torch.zeros(1, 5)
    leaf = x.clone().requires_grad_()
    wanted = nn.functional.silu(leaf)
    (wanted_grad,) = torch.autograd.grad(wanted, leaf, grad)
    found = ops_block._norm_swish(x, ones, zeros)
    found_grad, swish, sums, products = grad.clone(), torch.empty_like(x), _sums(x), _sums(x)
    arguments = (x, ones, zeros, torch.zeros(5), found_grad, swish, sums, products)
    kernels.call("norm_swish_backward", *arguments, clips=1, sizes=(6, 5))
    for mine, theirs in ((found, wanted), (swish, wanted), (found_grad, wanted_grad)):
        assert torch.equal(mine.isfinite(), theirs.detach().isfinite())
    if math.isnan(value):
        assert _is_nan_where(found, wanted) and _is_nan_where(found_grad, wanted_grad)


def _block(se_width: int | None) -> Bottleneck:
    torch.manual_seed(3)
    block = Bottleneck(6, 14, 6, first=False, se_width=se_width, shortcut_bn=True)
    nn.init.uniform_(block.project_bn.weight, 0.5, 1.5)
    return block


def _in_the_plain_case(block: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The outcome in float64, for which no loop is written."""
    return _outcome(copy.deepcopy(block).double(), x.double())


def _outcome(block: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    x = x.detach().clone().requires_grad_()
    y = block(x)
    gradients = torch.autograd.grad(y.sum() + y.square().sum(), (x, *block.parameters()))
    with torch.no_grad():
        tested = block.eval()(x)
    block.train()
    return (y.detach(), *gradients, *(each.double() for each in block.buffers()), tested)


@pytest.mark.parametrize("se_width", [8, None])
def test_a_clip_with_it_makes_a_blocks_results_what_torchs_are(se_width: int | None) -> None:
    block, x = _block(se_width), torch.randn(2, 6, 2, 5, 5)
    x[0, 2, 1, 3, 3] = NAN
    wanted = _in_the_plain_case(block, x)
    for mine, theirs in zip(_outcome(block, x), wanted, strict=True):
        assert _is_nan_where(mine, theirs)


NAMES = [name for name, _ in _block(8).named_parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_that_is_none_spoils_what_it_spoils_in_torch(name: str) -> None:
    block, x = _block(8), torch.randn(2, 6, 2, 5, 5)
    with torch.no_grad():
        block.get_parameter(name).view(-1)[-1] = NAN
    wanted = _in_the_plain_case(block, x)
    for mine, theirs in zip(_outcome(block, x), wanted, strict=True):
        # Padding's zeros times NaN are NaN in the loops; some of torch's paths leave them out.
        assert not (theirs.isnan() & ~mine.isnan()).any()


@pytest.mark.parametrize("name", ["expand_bn", "channelwise_bn", "project_bn"])
def test_running_statistics_that_are_none_are_seen_in_eval_mode(name: str) -> None:
    block, x = _block(8), torch.randn(2, 6, 4, 5, 5)
    block.get_submodule(name).running_var[1] = NAN
    exact = copy.deepcopy(block).double()
    with torch.no_grad():
        found, wanted = block.eval()(x), exact.eval()(x.double())
    assert wanted.isnan().any() and _is_nan_where(found, wanted)


def test_a_stem_lets_it_through() -> None:
    stem, x = Stem(8, 5), torch.randn(2, 3, 3, 12, 12)
    x[1, 0, 1, 4, 4] = NAN
    wanted = _in_the_plain_case(stem, x)
    for mine, theirs in zip(_outcome(stem, x), wanted, strict=True):
        assert _is_nan_where(mine, theirs)
