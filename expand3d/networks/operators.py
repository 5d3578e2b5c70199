"""Cost of a network as a table of its operators, from which every total is a sum.

Conventions, which is where published "FLOPs" disagree:

- `macs`: multiply-adds of convolutions and linear layers, one clip, one view. The X3D paper's
  "FLOPs", and what a budget of 4GFLOPs means here.
- `fvcore_flops`: what fvcore's FlopCountAnalysis totals in eval mode: `macs` plus 2 per element
  that a BatchNorm reads.
- `params`: every learned number; `params_without_bn` leaves out BatchNorm's weight and bias, as
  the X3D paper counts.
- `activations`: elements of the outputs of all convolutions (pycls, arXiv 2003.13678).
- `memory`: bytes that inference on one clip in float32 is predicted to need at its peak: the
  parameters, and LIVE_OUTPUTS times the largest output of a layer. Weights, clip and live
  tensors of published networks of every family add up to 0.7 to 1.3 times that (counted); of tiny
  networks, whose clip is larger than what they make of it, up to 2.1 times. A library's workspace
  comes on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

Kind = Literal["conv", "linear", "batch_norm"]

#: fvcore's price of one BatchNorm element in eval mode (scale and shift).
FVCORE_BN_EVAL = 2
FLOAT_BYTES = 4
#: Outputs of the largest size that are alive together: a layer's input, its output, a shortcut.
LIVE_OUTPUTS = 3


class Operator(NamedTuple):
    """One layer: `name` is its module path in the built network, `flops` what fvcore counts."""

    name: str
    stage: str
    kind: Kind
    flops: int
    params: int
    outputs: int


@dataclass(frozen=True)
class Cost:
    """The operators of one network for one view."""

    operators: tuple[Operator, ...]

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers."""
        return sum(op.flops for op in self.operators if op.kind != "batch_norm")

    @cached_property
    def fvcore_flops(self) -> int:
        """fvcore's total in eval mode, BatchNorm included."""
        return sum(op.flops for op in self.operators)

    @cached_property
    def params(self) -> int:
        """Learned numbers."""
        return sum(op.params for op in self.operators)

    @cached_property
    def params_without_bn(self) -> int:
        """Learned numbers without BatchNorm's affine pair, as the X3D paper counts."""
        return sum(op.params for op in self.operators if op.kind != "batch_norm")

    @cached_property
    def activations(self) -> int:
        """Elements of the outputs of all convolutions."""
        return sum(op.outputs for op in self.operators if op.kind == "conv")

    @cached_property
    def largest_output(self) -> int:
        """Elements of the largest output of a layer."""
        return max((op.outputs for op in self.operators), default=0)

    @cached_property
    def memory(self) -> int:
        """Predicted bytes at the peak of inference on one clip in float32."""
        return FLOAT_BYTES * (self.params + LIVE_OUTPUTS * self.largest_output)

    def by_stage(self) -> dict[str, dict[str, int]]:
        """Per stage in network order: macs, fvcore_flops, params, activations, memory."""
        return {
            stage: Cost(tuple(op for op in self.operators if op.stage == stage)).totals()
            for stage in dict.fromkeys(op.stage for op in self.operators)
        }

    def totals(self) -> dict[str, int]:
        """The totals under their conventions' names."""
        return {
            "macs": self.macs,
            "fvcore_flops": self.fvcore_flops,
            "params": self.params,
            "params_without_bn": self.params_without_bn,
            "activations": self.activations,
            "memory": self.memory,
        }

    def to_json(self) -> dict[str, Any]:
        return self.totals()


def conv(
    name: str,
    stage: str,
    *,
    inputs: int,
    outputs: int,
    kernel: tuple[int, int, int],
    positions: int,
    groups: int = 1,
    bias: bool = False,
) -> Operator:
    """A convolution that writes `positions` (T x H x W) outputs per channel."""
    weights = outputs * (inputs // groups) * kernel[0] * kernel[1] * kernel[2]
    return Operator(
        name, stage, "conv", weights * positions, weights + bias * outputs, outputs * positions
    )


def batch_norm(name: str, stage: str, *, channels: int, positions: int) -> Operator:
    """A BatchNorm over `channels` x `positions` elements."""
    elements = channels * positions
    return Operator(name, stage, "batch_norm", FVCORE_BN_EVAL * elements, 2 * channels, elements)


def linear(name: str, stage: str, *, inputs: int, outputs: int, bias: bool = True) -> Operator:
    """A linear layer applied once per clip."""
    weights = inputs * outputs
    return Operator(name, stage, "linear", weights, weights + bias * outputs, outputs)
