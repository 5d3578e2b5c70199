"""The operators of X3D's block that keep little, and its BatchNorm, against float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from expand3d.networks.families.x3d_net import Bottleneck
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import norm as ops_norm
from expand3d.networks.ops.norm import batch_norm, moments
from expand3d.networks.ops.x3d_block_torch import norm_swish_project

FORMATS = [torch.contiguous_format, torch.channels_last_3d]
# clips, channels, frames, height, width
SHAPES = [(2, 6, 1, 3, 5), (1, 10, 3, 7, 4), (3, 7, 2, 13, 11), (8, 24, 2, 14, 14)]


@pytest.fixture(params=[1, 10**9], ids=["our moments", "torch's"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(ops_norm, "ROWS", request.param)
    return int(request.param)


def _norm(channels: int) -> nn.BatchNorm3d:
    norm = nn.BatchNorm3d(channels, momentum=0.2)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    return norm


def _relative(value: Tensor, reference: Tensor) -> float:
    value, reference = value.detach().double(), reference.detach()
    return float((value - reference).norm() / reference.norm())


def _gated_swish(x: Tensor, norm: nn.BatchNorm3d, excite: nn.Linear | None, w: Tensor) -> Tensor:
    """Written out in NCTHW, with a mean and torch's 3D convolution."""
    y = norm(x)
    if excite is not None:
        y = y * torch.sigmoid(excite(y.mean(dim=(2, 3, 4))))[:, :, None, None, None]
    return nn.functional.conv3d(y / (1 + torch.exp(-y)), w)


@pytest.mark.parametrize("memory_format", FORMATS, ids=["ncdhw", "channels_last"])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norm_swish_project_is_its_parts_in_float64(
    shape: tuple[int, ...], gated: bool, memory_format: torch.memory_format, rows: int
) -> None:
    torch.manual_seed(sum(shape))
    channels = shape[1]
    norm, excite = _norm(channels), nn.Linear(channels, channels) if gated else None
    weight = torch.randn(5, channels, 1, 1, 1, requires_grad=True)
    x = (torch.randn(shape) * 2 + 1).to(memory_format=memory_format).requires_grad_()

    def gate(means: Tensor) -> Tensor:
        assert excite is not None and means.shape == (*shape[:2], 1, 1, 1)
        return torch.sigmoid(excite(means.flatten(1)))[:, :, None, None, None]

    exact = (
        x.detach().double().requires_grad_(),
        copy.deepcopy(norm).double(),
        copy.deepcopy(excite).double() if excite is not None else None,
        weight.detach().double().requires_grad_(),
    )
    y = norm_swish_project(x, norm, gate if gated else None, weight)
    expected = _gated_swish(*exact)
    assert y.shape == expected.shape and _relative(y, expected) < 1e-5
    grad = torch.randn_like(expected)
    learned = [*norm.parameters(), *(excite.parameters() if excite is not None else ())]
    doubles = [*exact[1].parameters(), *(exact[2].parameters() if exact[2] is not None else ())]
    got = torch.autograd.grad(
        y, (x, weight, *learned), grad.float().to(memory_format=memory_format)
    )
    wanted = torch.autograd.grad(expected, (exact[0], exact[3], *doubles), grad)
    for value, reference in zip(got, wanted, strict=True):
        assert value.shape == reference.shape and _relative(value, reference) < 1e-5


@pytest.mark.parametrize("gated", [True, False])
def test_gradients_of_norm_swish_project_equal_finite_differences(gated: bool, rows: int) -> None:
    torch.manual_seed(0)
    norm = _norm(4).double()
    x = torch.randn(2, 4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, 1, 1, 1, dtype=torch.float64, requires_grad=True)

    def forward(x: Tensor, weight: Tensor, *affine: Tensor) -> Tensor:
        return norm_swish_project(x, norm, torch.sigmoid if gated else None, weight)

    assert torch.autograd.gradcheck(forward, (x, weight, norm.weight, norm.bias))


@pytest.mark.parametrize("memory_format", FORMATS, ids=["ncdhw", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_is_torchs_in_float64(
    shape: tuple[int, ...], memory_format: torch.memory_format, rows: int
) -> None:
    torch.manual_seed(sum(shape))
    norm = _norm(shape[1])
    exact = copy.deepcopy(norm).double()
    x = (torch.randn(shape) * 3 - 1).to(memory_format=memory_format).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    y, y64 = batch_norm(x, norm), exact(x64)
    grad = torch.randn_like(y64)
    got = torch.autograd.grad(y, (x, *norm.parameters()), grad.float())
    wanted = torch.autograd.grad(y64, (x64, *exact.parameters()), grad)
    for value, reference in zip((y, *got), (y64, *wanted), strict=True):
        assert _relative(value, reference) < 1e-5
    for name, buffer in norm.named_buffers():  # running mean and variance, the counter
        assert _relative(buffer, exact.get_buffer(name).double()) < 1e-6, name
    assert norm.num_batches_tracked == 1
    with torch.no_grad():
        assert _relative(batch_norm(x, norm.eval()), exact.eval()(x64)) < 1e-5
    assert norm.num_batches_tracked == 1


def test_moments_of_many_rows_are_nearer_than_one_long_sum() -> None:
    torch.manual_seed(0)
    x = (torch.randn(4, 54, 4, 56, 56) + 0.5).to(memory_format=torch.channels_last_3d)
    rows = x.double().movedim(1, -1).reshape(-1, 54)
    mean, var = moments(x)
    serial, *_ = torch.batch_norm_update_stats(x, None, None, 0.0)
    assert _relative(mean, rows.mean(0)) < 3e-7
    assert _relative(var, rows.var(0, correction=0)) < 3e-7
    assert _relative(serial, rows.mean(0)) > 6e-7  # else this module has no purpose any more


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("se_width", [8, None])
def test_a_block_keeps_few_tensors_of_its_inner_width(
    se_width: int | None, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(kernels, "library", lambda: None)
    elif not kernels.available():
        pytest.skip("installed without a C compiler")
    block = Bottleneck(8, 24, 8, first=False, se_width=se_width, shortcut_bn=False)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x = torch.randn(4, 8, 2, 14, 14).to(memory_format=torch.channels_last_3d).requires_grad_()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x)
    # The outputs of the expansion and of the channel-wise convolution; in torch, of ReLU too.
    wide = sum(tensor.numel() == 4 * 24 * 2 * 14 * 14 for tensor in kept.values())
    assert wide == (2 if compiled else 3)


def test_a_traced_block_is_torchs_own_operators() -> None:
    block = Bottleneck(8, 24, 8, first=True, se_width=8, shortcut_bn=True)
    traced = torch.jit.trace(block, torch.randn(2, 8, 2, 28, 28), check_trace=False)
    text = str(traced.inlined_graph)
    assert "aten::batch_norm" in text and "aten::silu" in text and "PythonOp" not in text
