"""The counts of fvcore on the built network: the check on the arithmetic cost, and its limits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.example import example


@dataclass(frozen=True)
class Measured:
    """fvcore's count of one clip in eval mode.

    A convolution or linear layer counts its multiply-adds, a BatchNorm 2 per element. `by_operator`
    runs over kinds (conv, linear, batch_norm), `by_module` over the paths of the layers that were
    called, each with its count per kind. `uncounted` names the operators that fvcore has no price
    for (activations, additions, means) with how often each was called.
    """

    by_operator: Mapping[str, int]
    by_module: Mapping[str, Mapping[str, int]]
    uncounted: Mapping[str, int]
    total: int

    def to_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "by_operator": dict(self.by_operator),
            "uncounted": dict(self.uncounted),
        }


def measure(plan: Plan, *, crop: int | None = None) -> Measured:
    """fvcore's FLOPs of one clip of `plan`, in eval mode, at the training crop or another `crop`.

    Builds a network of its own, because fvcore runs the real forward pass (seconds for a large
    plan) and would change BatchNorm's statistics in train mode; the random state is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fvcore uses torch.jit
        from fvcore.nn import FlopCountAnalysis

        network = get_family(plan.family).build(plan).eval()
        analysis = FlopCountAnalysis(network, example(plan, 1, crop=crop))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        counts = analysis.by_module_and_operator()
        layers = [name for name, module in network.named_modules() if not any(module.children())]
        return Measured(
            by_operator=_whole(analysis.by_operator()),
            by_module={name: _whole(counts[name]) for name in layers if counts[name]},
            uncounted=dict(sorted(analysis.unsupported_ops().items())),
            total=int(analysis.total()),
        )


def _whole(counts: Mapping[str, float]) -> dict[str, int]:
    return {name: int(count) for name, count in sorted(counts.items())}
