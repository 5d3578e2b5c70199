"""The average of a network's last weights, over a time that grows with the training.

A power-function average (arXiv 2312.02696, section 3.1): at whatever step it is looked at, it
covers the same share of the steps so far. So a network that is tested on the way is like one whose
training ends there.

That is why searches have this one: their networks are tested at any length. A training in full has
one length, and the exponential average of the papers (`--ema`, `training/full.py`): a share that
the user chooses, begun from the first weights. No share of that gives this one's numbers, and
checkpoints and scores of both kinds are kept, so there are two.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: The exponent: the average lies at 89% of the steps so far, with a deviation of 10% of them.
GAMMA = 6.94


class Averaged:
    """The average over all steps so far of a network's numbers, BatchNorm's statistics included."""

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        self.state: dict[str, Tensor] = dict(state or {})

    def add(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps, counted from 1."""
        share = 1 - (1 - 1 / step) ** (GAMMA + 1)
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if name in self.state and value.is_floating_point():
                    self.state[name].lerp_(value, share)
                else:
                    self.state[name] = value.detach().clone()

    def put(self, network: nn.Module) -> None:
        """Give the average to a network, in place of its weights."""
        if self.state:
            network.load_state_dict(self.state)
