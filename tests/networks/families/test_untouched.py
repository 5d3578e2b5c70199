"""Every way that torch offers to step in: X3D's block then does what its modules do, one by one.

What a way changes is compared with the modules called by hand, under the same way; no loop may
have been called.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from expand3d.networks.families.x3d_net import Bottleneck, SqueezeExcite
from expand3d.networks.ops import compiled as kernels

NORMS = ("expand_bn", "channelwise_bn", "project_bn", "shortcut_bn")
CONVS = ("shortcut", "expand", "channelwise", "project", "se.squeeze", "se.excite")
PARTS = (*NORMS, *CONVS, "se", "swish")


def _block() -> Bottleneck:
    torch.manual_seed(1)
    block = Bottleneck(6, 10, 8, first=True, se_width=8, shortcut_bn=True)
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    return block


PARAMETERS = [name for name, _ in _block().named_parameters()]


def _clips() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(3, 6, 4, 12, 12)  # so many places that the fused operators are asked too


def _by_hand(block: Bottleneck, x: Tensor) -> Tensor:
    """The block as its modules, called one by one; SE as the paper has it."""
    y = block.channelwise(torch.relu(block.expand_bn(block.expand(x))))
    y = block.channelwise_bn(y)
    y = block.project(block.swish(block.se(y)))
    return torch.relu(block.shortcut_bn(block.shortcut(x)) + block.project_bn(y))


@pytest.fixture(autouse=True)
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the loops that were called, but for that of a convolution over time."""
    names: list[str] = []
    call = kernels.call

    def noted(name: str, *arguments: Any, **settings: Any) -> None:
        names.append(name)
        call(name, *arguments, **settings)

    monkeypatch.setattr(kernels, "call", noted)
    return names


def _trained(block: Bottleneck, forward: Callable[..., Tensor]) -> list[Tensor]:
    """Output, gradients of input and parameters, and buffers, after one pass."""
    x = _clips().requires_grad_()
    y = forward(block, x)
    y.square().sum().backward()
    assert x.grad is not None
    gradients = [each.grad for each in block.parameters() if each.grad is not None]
    return [y.detach(), x.grad, *gradients, *block.buffers()]


def _tested(block: Bottleneck, forward: Callable[..., Tensor]) -> list[Tensor]:
    block.eval()
    with torch.no_grad():
        return [forward(block, _clips())]


def _same(found: list[Tensor], wanted: list[Tensor]) -> None:
    """Equal but for rounding, beside the largest: some gradients cancel to nothing."""
    largest = max(float(each.double().norm()) for each in wanted)
    for value, reference in zip(found, wanted, strict=True):
        assert float((value.double() - reference.double()).norm()) <= 2e-5 * largest


def _check(change: Callable[[Bottleneck], Any], called: list[str]) -> None:
    """`change` a block, in training and in eval mode; it may return a list of what it saw."""
    for run in (_trained, _tested):
        ours, exact = _block(), _block()
        seen, expected = change(ours), change(exact)
        found, wanted = run(ours, lambda block, x: block(x)), run(exact, _by_hand)
        assert not called
        _same(found, wanted)
        assert seen is None or seen == expected
        if run is _trained and seen is not None:
            assert seen


@pytest.mark.skipif(not kernels.available(), reason="installed without a C compiler")
def test_untouched_it_runs_the_loops(called: list[str]) -> None:
    for run, loops in ((_trained, 6), (_tested, 2)):
        found, wanted = run(_block(), lambda block, x: block(x)), run(_block(), _by_hand)
        assert len(called) >= loops
        _same(found, wanted)
        called.clear()


# Hooks


def _forward(log: list[str]) -> dict[str, Callable[[nn.Module], Any]]:
    """Every hook of a module; each changes what it sees."""

    def output(module: Any, inputs: Any, value: Tensor) -> Tensor:
        log.append("forward")
        return value * 1.5

    def with_kwargs(module: Any, inputs: Any, kwargs: Any, value: Tensor) -> Tensor:
        return output(module, inputs, value)

    def before(module: Any, inputs: Any) -> Any:
        log.append("before")
        return (inputs[0] * 0.5,)

    def gradient(module: Any, into: Any, out: Any) -> Any:
        log.append("gradient")
        return tuple(None if each is None else each * 2 for each in into)

    def gradient_before(module: Any, out: Any) -> Any:
        log.append("gradient before")
        return tuple(each * 3 for each in out)

    return {
        "forward": lambda module: module.register_forward_hook(output),
        "forward, kwargs": lambda module: module.register_forward_hook(
            with_kwargs, with_kwargs=True
        ),
        "forward, always": lambda module: module.register_forward_hook(output, always_call=True),
        "before": lambda module: module.register_forward_pre_hook(before),
        "gradient": lambda module: module.register_full_backward_hook(gradient),
        "gradient before": lambda module: module.register_full_backward_pre_hook(gradient_before),
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", list(_forward([])))
def test_hooks_of_modules(kind: str, part: str, called: list[str]) -> None:
    def change(block: Bottleneck) -> list[str]:
        log: list[str] = []
        _forward(log)[kind](block.get_submodule(part))
        return log

    _check(change, called)


@pytest.mark.parametrize(
    "register",
    [
        torch_module.register_module_forward_hook,
        torch_module.register_module_forward_pre_hook,
        torch_module.register_module_full_backward_hook,
        torch_module.register_module_full_backward_pre_hook,
    ],
)
def test_hooks_of_all_modules(register: Callable[..., Any], called: list[str]) -> None:
    runs = []
    for forward in (lambda block, x: block(x), _by_hand):
        log: list[str] = []
        handle = register(lambda module, *_, log=log: log.append(type(module).__name__))
        try:
            _trained(_block(), forward)
        finally:
            handle.remove()
        runs.append([name for name in log if name != "Bottleneck"])
    assert sorted(runs[0]) == sorted(runs[1]) and runs[0] and not called


def test_the_hook_of_a_parameter_runs_once_and_when_it_comes_after_the_forward_pass() -> None:
    """Autograd runs it, whatever computes: the loops may stay."""
    for name, late in itertools.product(PARAMETERS, (False, True)):
        block, exact, times = _block(), _block(), []

        def twice(gradient: Tensor, times: list[int] = times) -> Tensor:
            times.append(1)
            return gradient * 2

        parameter, x = block.get_parameter(name), _clips()
        if not late:
            parameter.register_hook(twice)
        y = block(x)
        if late:
            parameter.register_hook(twice)
        y.square().sum().backward()
        _by_hand(exact, x).square().sum().backward()
        wanted = exact.get_parameter(name).grad
        assert parameter.grad is not None and wanted is not None and len(times) == 1, name
        _same([parameter.grad], [wanted * 2])


def test_hooks_on_accumulated_gradients_run_once() -> None:
    block, seen = _block(), []
    for name, parameter in block.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: seen.append(name))
    block(_clips()).sum().backward()
    assert sorted(seen) == sorted(PARAMETERS)


# Parameters


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_frozen_parameter(name: str, called: list[str]) -> None:
    block, exact = _block(), _block()
    for each in (block, exact):
        each.get_parameter(name).requires_grad_(False)
    _same(_trained(block, lambda block, x: block(x)), _trained(exact, _by_hand))
    assert not called


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@pytest.mark.parametrize("part", [*NORMS, *CONVS])
def test_a_parametrized_weight(part: str, called: list[str]) -> None:
    _check(
        lambda block: _void(
            parametrize.register_parametrization(block.get_submodule(part), "weight", _Doubled())
        ),
        called,
    )


def _void(_: Any) -> None:
    return None


REWRITES: dict[str, Callable[[nn.Module], Any]] = {
    "weight_norm": lambda module: weight_norm(module),
    "parametrizations.weight_norm": lambda module: parametrizations.weight_norm(module),
    "prune": lambda module: prune.l1_unstructured(module, "weight", amount=0.5),
    "a plain tensor": lambda module: _as_tensor(module),
    "a subclass of Parameter": lambda module: setattr(
        module, "weight", _Parameter(module.weight.detach() * 2)
    ),
}


class _Parameter(nn.Parameter):
    pass


def _as_tensor(module: nn.Module) -> None:
    weight = module.weight
    del module.weight
    module.weight = weight.detach() * 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("part", CONVS)
@pytest.mark.parametrize("name", list(REWRITES))
def test_a_weight_that_is_made_of_others(name: str, part: str, called: list[str]) -> None:
    _check(lambda block: _void(REWRITES[name](block.get_submodule(part))), called)


@pytest.mark.parametrize("part", NORMS)
def test_a_pruned_norm(part: str, called: list[str]) -> None:
    _check(
        lambda block: _void(prune.l1_unstructured(block.get_submodule(part), "weight", amount=0.5)),
        called,
    )


def test_functional_call(called: list[str]) -> None:
    runs = []
    for forward in (None, _by_hand):
        block = _block()
        if forward is not None:
            block.forward = lambda x, block=block: _by_hand(block, x)
        given = {name: (2 * p.detach()).requires_grad_() for name, p in block.named_parameters()}
        x = _clips()
        y = torch.func.functional_call(block, given, (x,))
        runs.append([y.detach(), *torch.autograd.grad(y.square().sum(), list(given.values()))])
    _same(*runs)
    assert not called


# Modules


def _subclass(module: nn.Module) -> None:
    kind = type(module)

    class Other(kind):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            return 1.5 * super().forward(x)

    module.__class__ = Other


def _own_forward(module: nn.Module) -> None:
    before = module.forward
    module.forward = lambda x: 1.5 * before(x)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("change", [_subclass, _own_forward])
def test_a_module_that_does_something_else(
    change: Callable[[nn.Module], None], part: str, called: list[str]
) -> None:
    _check(lambda block: change(block.get_submodule(part)), called)


def test_a_module_that_is_compiled_is_called_as_such(called: list[str]) -> None:
    block = _block()
    block.swish._compiled_call_impl = lambda x: x * 0  # what Module.compile sets
    block.eval()
    with torch.no_grad():
        _same([block(_clips())], [_by_hand(block, _clips())])
    assert not called


OTHER_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "no momentum": lambda channels: nn.BatchNorm3d(channels, momentum=None),
    "not affine": lambda channels: nn.BatchNorm3d(channels, affine=False),
    "no bias": lambda channels: _without_bias(channels),
    "not tracked": lambda channels: nn.BatchNorm3d(channels, track_running_stats=False),
    "instances": lambda channels: nn.InstanceNorm3d(channels, affine=True),
    "groups": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


def _without_bias(channels: int) -> nn.BatchNorm3d:
    norm = nn.BatchNorm3d(channels)
    norm.bias = None  # type: ignore[assignment]
    return norm


@pytest.mark.parametrize("part", NORMS)
@pytest.mark.parametrize("name", list(OTHER_NORMS))
def test_another_norm(name: str, part: str, called: list[str]) -> None:
    def change(block: Bottleneck) -> None:
        channels = block.get_submodule(part).num_features
        setattr(block, part, OTHER_NORMS[name](channels))

    if part == "shortcut_bn" and name == "none":
        return  # a plan may have none
    _check(change, called)


class _Attention(SqueezeExcite):
    def gate(self, mean: Tensor) -> Tensor:
        return torch.tanh(super().gate(mean))


def test_another_gate(called: list[str]) -> None:
    def change(block: Bottleneck) -> None:
        gate = _Attention(10, 8)
        gate.load_state_dict(block.se.state_dict())
        block.se = gate

    _check(change, called)


def test_a_norm_of_other_channels_is_torchs_error_and_nothing_read_beyond(
    called: list[str],
) -> None:
    for part in ("expand_bn", "channelwise_bn", "project_bn"):
        block = _block()
        setattr(block, part, nn.BatchNorm3d(4))
        with pytest.raises((RuntimeError, ValueError)):
            block(_clips())
    assert not called


def test_fused_for_inference(called: list[str]) -> None:
    def change(block: Bottleneck) -> None:
        block.eval()
        for conv, norm in (("expand", "expand_bn"), ("project", "project_bn")):
            pair = block.get_submodule(conv), block.get_submodule(norm)
            setattr(block, conv, torch.nn.utils.fusion.fuse_conv_bn_eval(*pair))
            setattr(block, norm, nn.Identity())

    block, exact = _block(), _block()
    change(block), change(exact)
    _same(_tested(block, lambda block, x: block(x)), _tested(exact, _by_hand))
    assert not called


def test_a_parameter_of_another_type_is_torchs_error(called: list[str]) -> None:
    for part in PARTS[:8]:
        block = _block()
        block.get_submodule(part).double()
        with pytest.raises(RuntimeError):
            block(_clips())
    assert not called


# Modes and transforms


class _Functions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class _Subclass(Tensor):
    seen: list[str] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.seen.append(getattr(func, "__name__", str(func)))
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("training", [True, False])
def test_a_mode_sees_torchs_operators(training: bool, called: list[str]) -> None:
    block, x = _block().train(training), _clips()
    with torch.set_grad_enabled(training), _Functions() as functions:
        block(x)
    with torch.set_grad_enabled(training), _Operators() as operators:
        block(x)
    assert {"silu", "batch_norm", "sigmoid"} <= set(functions.seen)
    assert any("silu" in name for name in operators.seen) and not called
    _Subclass.seen.clear()
    with torch.set_grad_enabled(training):
        assert isinstance(block(x.as_subclass(_Subclass)), _Subclass)
    assert "silu" in _Subclass.seen and not called


def test_a_counter_of_flops_counts_the_convolutions() -> None:
    block, counts = _block().eval(), []
    for forward in (lambda block, x: block(x), _by_hand):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            forward(block, _clips())
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_autocast(called: list[str]) -> None:
    def under(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(block: Bottleneck, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return forward(block, x)

        return run

    found = under(lambda block, x: block(x))(_block(), _clips())
    wanted = under(_by_hand)(_block(), _clips())
    assert found.dtype == wanted.dtype and not called
    torch.testing.assert_close(found, wanted)


def _functional(forward: Callable[..., Tensor]) -> Iterator[Tensor]:
    """Outcomes of the transforms, of a block in eval mode since BatchNorm may not learn in them."""
    block, x = _block().eval(), _clips()
    values = {name: each.detach() for name, each in block.named_parameters()}
    run = forward

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        inner = copy.deepcopy(block)
        wrapped = _Forward(inner, run)
        named = {f"block.{name}": each for name, each in values.items()}
        return torch.func.functional_call(wrapped, named, (x,)).square().sum()

    yield from torch.func.grad(loss)(values, x).values()
    yield torch.func.jvp(lambda x: run(block, x), (x,), (torch.ones_like(x),))[1].detach()
    yield torch.func.vmap(lambda x: run(block, x[None]))(x).detach()
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(run(block, dual)).tangent
        assert tangent is not None
        yield tangent.detach()


class _Forward(nn.Module):
    def __init__(self, block: Bottleneck, forward: Callable[..., Tensor]) -> None:
        super().__init__()
        self.block, self.run = block, forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.block, x)


def test_transforms(called: list[str]) -> None:
    _same(list(_functional(lambda block, x: block(x))), list(_functional(_by_hand)))
    assert not called


def test_a_symbolic_trace(called: list[str]) -> None:
    for training in (True, False):
        block = _block().train(training)
        graph = torch.fx.symbolic_trace(block)
        with torch.no_grad():
            _same([graph(_clips())], [_by_hand(block, _clips())])
    assert not called


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_activations(reentrant: bool) -> None:
    def again(block: Bottleneck, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(block, x, use_reentrant=reentrant)
        return y

    found, wanted = _trained(_block(), again), _trained(_block(), _by_hand)
    count = 2 + len(PARAMETERS)  # the running statistics learn twice, as torch's do
    _same(found[:count], wanted[:count])


# Defaults


@pytest.mark.skipif(not kernels.available(), reason="installed without a C compiler")
@pytest.mark.parametrize("eps", [1e-5, 1.25e-3])
def test_the_default_type_changes_no_bit(eps: float) -> None:
    from expand3d.networks.ops import x3d_block

    runs = []
    for default in (torch.float64, torch.float32):
        block, x = _block(), _clips()
        for norm in NORMS:
            block.get_submodule(norm).eps = eps
        x3d_block._epsilon.cache_clear()
        torch.set_default_dtype(default)
        try:
            y = block(x)
            gradients = torch.autograd.grad(y.square().sum(), list(block.parameters()))
            with torch.no_grad():
                runs.append([y, *gradients, *block.buffers(), block.eval()(x)])
        finally:
            torch.set_default_dtype(torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_weights_in_any_memory_order() -> None:
    """Those of BatchNorms apart, for which torch 2.13 itself gives a wrong gradient."""
    for run in (_trained, _tested):
        block, exact = _block(), _block()
        for name in CONVS:
            for each in block.get_submodule(name).parameters():
                each.data = torch.empty(*each.shape, 2)[..., 0].copy_(each.data)
        _same(run(block, lambda block, x: block(x)), run(exact, _by_hand))
