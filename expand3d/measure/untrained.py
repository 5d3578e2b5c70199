"""Scores of networks that nothing has trained: from their layers, or from one look at some clips.

More is better in each. They cost a pass or two where a training costs thousands; whether they order
networks of equal cost as trainings do has to be seen on a table (`docs/tables.md`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.networks import get_family
from expand3d.networks.example import example
from expand3d.training.batches import ClipBatch
from expand3d.training.placement import place
from expand3d.training.step import BATCH_NORMS
from expand3d.training.tasks.classify import classify

_LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)
_TINY = 1e-12


def untrained_scores(
    plan: Plan, batches: Sequence[ClipBatch], *, recipe: Recipe, seed: int
) -> dict[str, float]:
    """The scores of `plan`'s network by name; its weights are drawn from the seed.

    `batches` are training clips as a training would see them; two or more, of two clips or more.
    """
    assert len(batches) > 1 and all(len(batch.labels) > 1 for batch in batches)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = get_family(plan.family).build(plan, dropout=0.0)
        gradients = list(_gradients(network, plan, batches, recipe))
        return {
            "entropy": entropy(network, plan),
            "naswot": naswot(network, plan, batches[0], recipe),
            "grad_norm": grad_norm(gradients[0]),
            "zico": zico(gradients),
            "synflow": synflow(network, plan),  # the last: it changes the weights
        }


def entropy(network: nn.Module, plan: Plan) -> float:
    """The entropy of the features that random weights make of random input: STEntr.

    log C + the sum over convolutions of 1/2 log(C_in / groups x K_t K^2 x a), with C the last
    convolution's channels and a = -log(1 - cos((T, H, H), (K_t, K, K))) of its output and its
    kernel; a = 1 where the kernel is of one place in space, as in the authors' code. E3D (arXiv
    2303.02693).
    """
    total, channels = 0.0, 1
    for module, output in _outputs(network, plan, (nn.Conv2d, nn.Conv3d)):
        kernel = np.array((1, 1, *module.kernel_size)[-3:], float)
        places = np.array((1, 1, *output.shape[2:])[-3:], float)
        refined = 1.0
        if kernel[-1] > 1:
            alike = kernel @ places / np.linalg.norm(kernel) / np.linalg.norm(places)
            refined = -math.log(max(1 - alike, _TINY))
        total += 0.5 * math.log(module.weight[0].numel() * refined)
        channels = module.out_channels
    return total + math.log(channels)


def synflow(network: nn.Module, plan: Plan) -> float:
    """The logarithm of the sum of |w dR/dw|, R the sum of the outputs for ones (arXiv 2006.05467).

    Weights are replaced by their absolute values, and BatchNorm passes on what it reads. It is
    computed in float64, as products of many layers are beyond float32.
    """
    network.double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BATCH_NORMS):
                module.reset_parameters()
                module.eps = 0.0
        for parameter in network.parameters():
            parameter.abs_()
    network.zero_grad()
    ones = (torch.ones_like(each, dtype=torch.float64) for each in example(plan, 1))
    with _without_kernels(network):
        found = network(*ones)
    logits = found if isinstance(found, tuple) else (found,)
    sum(each.sum() for each in logits).backward()
    parts = [
        float((p.detach() * p.grad).abs().sum()) for p in network.parameters() if p.grad is not None
    ]
    return math.log(sum(parts) + _TINY)


def naswot(network: nn.Module, plan: Plan, batch: ClipBatch, recipe: Recipe) -> float:
    """log |K|, where K_ij counts the units that clips i and j both switch on, or both off.

    NASWOT (arXiv 2006.04647). A unit is a place that BatchNorm writes, on where that is above 0:
    activations follow it.
    """
    codes: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: codes.append((out > 0).flatten(1)))
        for module in network.modules()
        if isinstance(module, BATCH_NORMS)
    ]
    placement = place(recipe, device="cpu")
    try:
        with torch.no_grad():
            network.train()(*placement.inputs(batch.views, plan.kinds))
    finally:
        for hook in hooks:
            hook.remove()
    clips = len(batch.labels)
    kernel = np.zeros((clips, clips))
    for code in codes:
        if len(code) == clips:  # segments of a video are pictures of their own
            on = code.double().numpy()
            kernel += on @ on.T + (1 - on) @ (1 - on).T
    sign, value = np.linalg.slogdet(kernel)
    return float(value) if sign > 0 else -math.inf


def grad_norm(gradients: Mapping[str, NDArray[np.float64]]) -> float:
    """The Euclidean norm of one batch's gradient, of conv and linear layers (arXiv 2101.08134)."""
    return math.sqrt(sum(float(np.square(each).sum()) for each in gradients.values()))


def zico(gradients: Sequence[Mapping[str, NDArray[np.float64]]]) -> float:
    """The sum over layers of log(sum over weights of E|g| / sqrt(Var|g|)), over batches.

    ZiCo (arXiv 2301.11300). Weights whose gradient never varies are left out, and layers of such
    weights alone.
    """
    total = 0.0
    for name in gradients[0]:
        sizes = np.abs(np.stack([each[name] for each in gradients]))
        deviation = sizes.std(axis=0)
        varies = deviation > 0
        ratios = sizes.mean(axis=0)[varies] / deviation[varies]
        if ratios.size:
            total += math.log(float(ratios.sum()))
    return total


def _gradients(
    network: nn.Module, plan: Plan, batches: Sequence[ClipBatch], recipe: Recipe
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The gradient of each layer's weights for each batch, at the weights as they are."""
    placement = place(recipe, device="cpu")
    network = placement.model(network).train()
    for batch in batches:
        network.zero_grad()
        loss = classify(network, batch, recipe=recipe, placement=placement, kinds=plan.kinds).loss
        loss.backward()
        yield {
            name: module.weight.grad.double().numpy().copy()
            for name, module in network.named_modules()
            if isinstance(module, _LAYERS) and module.weight.grad is not None
        }


def _outputs(
    network: nn.Module, plan: Plan, kinds: tuple[type[nn.Module], ...]
) -> list[tuple[Any, Tensor]]:
    """The modules of some kinds in the order in which they run, each with what it puts out."""
    seen: list[tuple[Any, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, _i, out: seen.append((m, out)))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    try:
        with torch.no_grad():
            network.eval()(*example(plan, 1))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@contextmanager
def _without_kernels(network: nn.Module) -> Iterator[None]:
    """Torch's own operators, which have gradients in eval mode and in float64."""
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    hooks = [module.register_forward_hook(nothing) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
