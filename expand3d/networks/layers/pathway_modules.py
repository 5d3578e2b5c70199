"""The torch modules of the layers in `pathways.py`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Both = tuple[Tensor, Tensor]


class Rates(nn.Module):
    """N x 3 x T x H x W to a pair: ceil(T / alpha) frames from first to last, and all of them."""

    def __init__(self, alpha: int) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Both:
        frames = x.shape[2]
        slow = -(-frames // self.alpha)
        index = torch.linspace(0, frames - 1, slow).long()  # on the CPU, whose rounding is known
        return x.index_select(2, index.to(x.device)), x


class Pathways(nn.Module):
    """One stage of both pathways, and what the Fast one adds to the Slow one's channels."""

    def __init__(self, slow: nn.Module, fast: nn.Module, lateral: nn.Module | None) -> None:
        super().__init__()
        self.slow, self.fast, self.lateral = slow, fast, lateral

    def forward(self, x: Both) -> Both:
        slow, fast = self.slow(x[0]), self.fast(x[1])
        if self.lateral is not None:
            slow = torch.cat([slow, self.lateral(fast)], dim=1)
        return slow, fast


class Join(nn.Module):
    """Both pathways' channels side by side."""

    def forward(self, x: Both) -> Tensor:
        return torch.cat(x, dim=1)
