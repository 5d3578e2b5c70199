"""X3D's block by compiled loops beside the same modules in float64, and where torch runs."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from expand3d.networks import get_family
from expand3d.networks.families.x3d_net import Bottleneck
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import x3d_block as ops_block
from expand3d.networks.ops.conv import ChannelwiseConv3d

compiled = pytest.mark.skipif(
    importlib.util.find_spec("expand3d.networks.ops._kernels") is None,
    reason="installed without a C compiler",
)
# clips, channels, frames, height, width; stride 2; SE's width; inner channels
BLOCKS = [
    ((3, 6, 2, 7, 5), False, None, 10),
    ((3, 6, 4, 8, 9), True, 8, 14),
    ((2, 24, 1, 12, 12), False, 8, 54),
    ((8, 24, 4, 14, 14), True, 8, 54),
    ((4, 12, 5, 9, 6), True, None, 27),
    ((4, 10, 3, 9, 9), False, 8, 27),
    ((2, 5, 3, 4, 4), False, None, 3),  # fewer channels than a vector holds
    ((1, 8, 7, 1, 1), False, 8, 100),
    ((2, 8, 2, 70, 3), True, 8, 9),
    ((2, 8, 1, 4, 6), False, 8, 18),  # so few images that torch leaves oneDNN
    ((2, 100, 1, 4, 6), True, 8, 110),  # 1x1x1 convolutions as matrix products
]


def _block(inputs: int, inner: int, first: bool, se_width: int | None) -> Bottleneck:
    block = Bottleneck(inputs, inner, inputs, first=first, se_width=se_width, shortcut_bn=True)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return block


def _relative(value: Tensor, reference: Tensor) -> float:
    value, reference = value.detach().double(), reference.detach()
    return float((value - reference).norm() / reference.norm())


@compiled
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("shape", "first", "se_width", "inner"), BLOCKS, ids=str)
def test_a_block_is_its_modules_in_float64(
    shape: tuple[int, ...],
    first: bool,
    se_width: int | None,
    inner: int,
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(sum(shape))
    block = _block(shape[1], inner, first, se_width)
    exact = copy.deepcopy(block).double()
    x = (torch.randn(shape) * 2 + 1).to(memory_format=layout).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    assert ops_block.usable(x, block.expand_bn) and not ops_block.usable(x64, block.expand_bn)
    y, y64 = block(x), exact(x64)
    grad = torch.randn_like(y64)
    got = torch.autograd.grad(y, (x, *block.parameters()), grad.float())
    wanted = torch.autograd.grad(y64, (x64, *exact.parameters()), grad)
    names = ["y", "x", *(name for name, _ in block.named_parameters())]
    for name, value, reference in zip(names, (y, *got), (y64, *wanted), strict=True):
        assert value.shape == reference.shape
        assert _relative(value, reference) < 1e-5, name
    for name, buffer in block.named_buffers():  # running statistics, the counters
        assert _relative(buffer, exact.get_buffer(name).double()) < 1e-5, name
    with torch.no_grad():
        assert _relative(block.eval()(x), exact.eval()(x64)) < 1e-5


@compiled
@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize(
    "shape",
    [(3, 24, 4, 9, 7), (2, 5, 1, 6, 6), (2, 13, 2, 3, 3), (2, 1, 9, 1, 1), (4, 8, 3, 40, 40)],
)
def test_a_convolution_over_time_is_torchs_in_float64(shape: tuple[int, ...], taps: int) -> None:
    torch.manual_seed(sum(shape))
    conv = ChannelwiseConv3d(shape[1], (taps, 1, 1))
    exact = nn.Conv3d(
        shape[1], shape[1], (taps, 1, 1), padding=(taps // 2, 0, 0), groups=shape[1], bias=False
    ).double()
    exact.load_state_dict(conv.state_dict())
    x = torch.randn(shape, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    y, y64 = conv(x), exact(x64)
    grad = torch.randn_like(y64)
    got = torch.autograd.grad(y, (x, conv.weight), grad.float())
    wanted = torch.autograd.grad(y64, (x64, exact.weight), grad)
    for value, reference in zip((y, *got), (y64, *wanted), strict=True):
        assert value.shape == reference.shape
        assert _relative(value, reference) < 1e-5
    with torch.no_grad():
        assert _relative(conv(x), y64) < 1e-5


@compiled
@pytest.mark.parametrize("openmp", [True, False])
def test_threads_share_a_batch_without_changing_a_bit(
    openmp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "SHARED", 1)
    if not openmp:  # as where torch was built without it
        monkeypatch.setattr(kernels, "_openmp", lambda: None)
    torch.manual_seed(0)
    block, x = _block(8, 54, True, 8), torch.randn(5, 8, 3, 12, 12)
    frozen, over_time = copy.deepcopy(block).eval(), ChannelwiseConv3d(8, (5, 1, 1))
    weight = over_time.weight
    sizes = (3 * 12 * 12, 8)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            origin, sums = torch.zeros(8), torch.zeros(2, 5, 8, dtype=torch.float64)
            dense = x.contiguous(memory_format=torch.channels_last_3d)
            kernels.call("moments", dense, origin, sums[0], sums[1], clips=5, sizes=sizes)
            over = over_time(x)
            (gradient,) = torch.autograd.grad(over.square().sum(), weight)
            with torch.no_grad():
                found.append((sums, block(x), frozen(x), over, gradient))
    finally:
        torch.set_num_threads(before)
    for sums, *of_blocks, over, gradient in found[1:]:
        assert torch.equal(sums, found[0][0])
        for y, wanted in zip(of_blocks, found[0][1:3], strict=True):
            assert _relative(y, wanted.detach().double()) < 1e-6  # matrix products are torch's
        assert torch.equal(over, found[0][3]) and torch.equal(gradient, found[0][4])


#: Clips of one place, before or after a stride.
SINGLE = [((1, 6, 1, 1, 1), False), ((1, 6, 1, 1, 1), True), ((1, 6, 1, 2, 2), True)]


@pytest.mark.parametrize(("shape", "first"), SINGLE, ids=str)
def test_batch_norm_of_one_value_is_refused_before_anything_changes(
    shape: tuple[int, ...], first: bool
) -> None:
    torch.manual_seed(0)
    block, x = _block(6, 10, first, 8), torch.randn(shape)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel") as torchs:
        nn.BatchNorm3d(10)(torch.randn(1, 10, 1, 1, 1))
    before = copy.deepcopy(block.state_dict())
    with pytest.raises(ValueError) as ours:
        block(x)
    assert str(ours.value) == str(torchs.value)
    if kernels.available():  # module by module, those before have learned
        assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    block(torch.randn(2, *shape[1:]))  # two clips are two values
    assert block.eval()(x).isfinite().all()


@compiled
def test_a_head_of_one_value_is_refused_before_anything_changes() -> None:
    norm, x = nn.BatchNorm3d(6), torch.randn(1, 6, 1, 1, 1)
    before = copy.deepcopy(norm.state_dict())
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        ops_block.norm_relu(x, norm)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@compiled
def test_a_graph_that_is_kept_gives_the_same_gradients_again() -> None:
    block = _block(8, 14, True, 8)
    x = torch.randn(2, 8, 2, 6, 6, requires_grad=True)
    y = block(x).square().sum()
    first = torch.autograd.grad(y, (x, *block.parameters()), retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(y, (x, *block.parameters())), strict=True):
        assert torch.equal(one, other)


@compiled
def test_a_hook_on_a_convolution_sees_it_called() -> None:
    block, seen = _block(8, 14, False, 8).eval(), []
    block.channelwise.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        block(torch.randn(8, 8, 2, 6, 6))
    assert [output.shape for output in seen] == [(8, 14, 2, 6, 6)]


@compiled
@pytest.mark.parametrize("training", [True, False])
def test_no_convolution_of_a_stages_first_block_is_skipped_where_it_has_a_hook(
    training: bool,
) -> None:
    block, x = _block(8, 14, True, 8).train(training), torch.randn(8, 8, 2, 6, 6)
    for name in ("shortcut", "expand", "channelwise", "project"):
        seen: list[str] = []
        hook = block.get_submodule(name).register_forward_hook(
            lambda *_, seen=seen: seen.append("")
        )
        with torch.set_grad_enabled(training):
            block(x)
        hook.remove()
        assert len(seen) == 1, name


@compiled
def test_frozen_batch_norms_train_by_torchs_operators() -> None:
    block = _block(6, 14, False, 8).eval()
    exact = copy.deepcopy(block).double()
    x = torch.randn(2, 6, 2, 5, 5, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    block(x).sum().backward()
    exact(x64).sum().backward()
    assert x.grad is not None and x64.grad is not None
    assert _relative(x.grad, x64.grad) < 1e-5


@compiled
def test_without_the_loops_a_network_gives_the_same_logits(tmp_path: Path) -> None:
    """Those without in a process of their own, since what is loaded stays."""
    code = (
        "import torch, expand3d\n"
        "from expand3d.networks.ops import compiled as kernels\n"
        "torch.manual_seed(0)\n"
        "plan = expand3d.resolve(expand3d.get_preset('x3d-xs').genotype.replace(gamma_s=0.5))\n"
        "net = expand3d.build(plan, dropout=0.0)\n"
        "x = torch.randn(2, 3, plan.frames, plan.crop, plan.crop)\n"
        "torch.save((kernels.available(), net(x), net.eval()(x)), {!r})\n"
    )
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    exec(code.format(here), {})
    environment = {**os.environ, "EXPAND3D_KERNELS": "off"}
    subprocess.run([sys.executable, "-c", code.format(there)], check=True, env=environment)
    found = [torch.load(path) for path in (here, there)]
    assert found[0][0] and not found[1][0]
    for ours, plain in zip(found[0][1:], found[1][1:], strict=True):
        assert _relative(ours, plain.detach().double()) < 1e-4


@compiled
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its own address space")
def test_memory_that_runs_out_in_a_loop_is_an_error_and_not_the_end() -> None:
    code = """
import resource, torch
from expand3d.networks.ops import compiled as kernels
x = torch.zeros(1, 64, 3, 400, 400).to(memory_format=torch.channels_last_3d)
out, sums, ones = torch.empty_like(x), torch.zeros(1, 64, dtype=torch.float64), torch.ones(64)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20 * 2**20,) * 2)  # three frames are 124 MB
try:
    arguments = (x, ones, ones, torch.zeros(27, 64), out, sums, sums)
    kernels.call("channelwise", *arguments, clips=1, sizes=(3, 400, 400, 64, 1))
except MemoryError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "no memory for channelwise\n"


@compiled
def test_memory_is_predicted_for_the_path_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from expand3d.measure.memory import training_memory

    plan = get_family("x3d").resolve(get_family("x3d").base.replace(gamma_t=4), num_classes=5)
    with_loops = training_memory.__wrapped__(plan, clips=8)
    monkeypatch.setattr(kernels, "library", lambda: None)
    without = training_memory.__wrapped__(plan, clips=8)
    assert with_loops < without
