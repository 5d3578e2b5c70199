"""BatchNorm's variance in the compiled loops, far from zero and near it, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from expand3d.networks.families.x3d_net import Bottleneck
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import x3d_block as ops_block
from expand3d.networks.ops.norm import batch_norm

pytestmark = pytest.mark.skipif(
    not kernels.available(), reason="installed without a C compiler, or switched off"
)
RATIOS = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
CHANNELS = 12
#: At a ratio of 1000 a float32 number itself is known to 6e-5 standard deviations.
CLOSE = 3e-5


def _clips(ratio: float, *, spread: float = 0.1) -> Tensor:
    """Channels whose mean is so many standard deviations, of both signs."""
    torch.manual_seed(0)
    x = torch.randn(4, CHANNELS, 3, 14, 14)
    signs = torch.tensor([1.0, -1.0]).repeat(CHANNELS // 2).view(-1, 1, 1, 1)
    return ((x + ratio * signs) * spread).to(memory_format=torch.channels_last_3d)


def _variance(x: Tensor) -> Tensor:
    return x.detach().double().movedim(1, -1).reshape(-1, x.shape[1]).var(0)


def _worst(value: Tensor, reference: Tensor) -> float:
    return float(((value.double() - reference) / reference).abs().max())


def _forgetful(channels: int = CHANNELS) -> nn.BatchNorm3d:
    """Its running variance is the last batch's."""
    return nn.BatchNorm3d(channels, momentum=1.0)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("path", ["loops", "torch"])
def test_of_a_norms_input(ratio: float, path: str) -> None:
    x, norm = _clips(ratio), _forgetful()
    ops_block.norm_relu(x, norm) if path == "loops" else batch_norm(x, norm)
    assert _worst(norm.running_var, _variance(x)) < CLOSE


def test_of_a_channel_whose_first_number_is_far_from_all_others() -> None:
    x, norm = _clips(0.0), _forgetful()
    x[0, :, 0, 0, 0] = 1e3 + torch.arange(CHANNELS)
    exact, wanted = x.double().movedim(1, -1).reshape(-1, CHANNELS), _variance(x)
    ops_block.norm_relu(x, norm)
    assert _worst(norm.running_var, wanted) < CLOSE
    assert _worst(norm.running_mean, exact.mean(0)) < CLOSE


def _block(ratio: float) -> Bottleneck:
    """The output of the channel-wise convolution, at its centre tap, has the mean and deviation."""
    torch.manual_seed(1)
    block = Bottleneck(4, CHANNELS, 4, first=False, se_width=8, shortcut_bn=False)
    block.channelwise_bn = _forgetful()
    nn.init.constant_(block.expand_bn.weight, 0.1)
    nn.init.constant_(block.expand_bn.bias, 0.1 * ratio)
    nn.init.uniform_(block.project_bn.weight, 0.5, 1.5)
    with torch.no_grad():
        block.channelwise.weight.zero_()
        block.channelwise.weight[:, :, 1, 1, 1] = 1
    return block


@pytest.mark.parametrize("ratio", RATIOS)
def test_of_a_channelwise_convolution(ratio: float) -> None:
    block, x = _block(ratio), torch.randn(4, 4, 3, 14, 14)
    with torch.no_grad():
        expanded = block.expand(x).double()
        rows = expanded.movedim(1, -1).reshape(-1, CHANNELS)
        std = (rows.var(0, correction=0) + block.expand_bn.eps).sqrt()
        y = torch.relu((rows - rows.mean(0)) / std * 0.1 + 0.1 * ratio)
    block(x)
    assert _worst(block.channelwise_bn.running_var, y.var(0)) < CLOSE
    assert _worst(block.channelwise_bn.running_mean, y.mean(0)) < CLOSE


def test_of_a_constant_channel_is_zero_and_never_below() -> None:
    block, x = _block(1.0), torch.randn(4, 4, 3, 14, 14)
    nn.init.zeros_(block.expand_bn.weight)
    nn.init.constant_(block.expand_bn.bias, 0.3)
    y = block(x)
    variance = block.channelwise_bn.running_var
    assert y.isfinite().all() and (variance >= 0).all() and variance.max() < 1e-12
