"""The torch modules of the layers in `streams.py`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.core.errors import FactorError
from expand3d.networks.layers.streams import Rule


class FrameMean(nn.Module):
    """N x C x T x H x W to N x C x T x 1 x 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(3, 4), keepdim=True)


class FrameNorm(nn.Module):
    """x / (2 + 1e-4 / 5 * sum of 5 neighbouring channels' squares) ** 0.75, as CNN-M trained."""

    def forward(self, x: Tensor) -> Tensor:
        frames_NCHW = x.movedim(2, 1).flatten(0, 1)
        normal = F.local_response_norm(frames_NCHW, size=5, alpha=5e-4, beta=0.75, k=2)
        return normal.unflatten(0, (x.shape[0], x.shape[2])).movedim(1, 2)


class Consensus(nn.Module):
    """N x C x T x 1 x 1 to N x C, by `rule`."""

    def __init__(self, rule: Rule, frames: int) -> None:
        super().__init__()
        self.rule, self.frames = rule, frames
        if rule == "weighted":
            self.weight = nn.Parameter(torch.full((frames,), 1 / frames))

    def forward(self, x: Tensor) -> Tensor:
        scores_NCT = x.flatten(2)
        if self.rule == "max":
            return scores_NCT.amax(dim=2)
        if self.rule == "average":
            return scores_NCT.mean(dim=2)
        if scores_NCT.shape[2] != self.frames:
            raise FactorError(
                f"a consensus that weights {self.frames} segments cannot read {scores_NCT.shape[2]}"
            )
        return scores_NCT @ self.weight


class Streams(nn.Module):
    """A network per argument.

    In train mode it returns the logits of each stream. In eval mode it returns N x num_classes:
    their sum by weight, or the logarithm of the probabilities that are averaged by weight.
    """

    def __init__(
        self,
        streams: Iterable[tuple[str, nn.Module]],
        weights: tuple[float, ...],
        *,
        of: str = "probabilities",
    ) -> None:
        super().__init__()
        for name, stream in streams:
            self.add_module(name, stream)
        self.weights, self.of = tuple(weight / sum(weights) for weight in weights), of

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, in the order of `each`."""
        return tuple(name for name, _ in self.named_children())

    def each(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The logits of every stream, N x num_classes."""
        return tuple(stream(clip) for stream, clip in zip(self.children(), inputs, strict=True))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        logits = self.each(*inputs)
        return logits if self.training else self.together(logits)

    def together(self, logits: tuple[Tensor, ...]) -> Tensor:
        """The streams' logits as one, by weight."""
        if self.of == "logits":  # whose weights may all be 1
            pairs = zip(logits, self.weights, strict=True)
            weighted = [len(logits) * weight * part for part, weight in pairs]
            return sum(weighted[1:], weighted[0])
        return fused(logits, self.weights)


class Fuse(nn.Module):
    """Two N x C x T x H x W as one, by `rule`; bilinear ones are signed roots of unit length."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        if self.rule == "sum":
            return one + two
        if self.rule == "max":
            return torch.maximum(one, two)
        if self.rule == "concat":
            return torch.cat([one, two], dim=1)
        product_NCC = one.flatten(2) @ two.flatten(2).transpose(1, 2)
        flat = product_NCC.flatten(1)
        root = flat.sign() * (flat.abs() + 1e-12).sqrt()
        return F.normalize(root)[:, :, None, None, None]


class Fused(nn.Module):
    """Two towers, a head on what they are fused to, and by choice one on the second tower alone.

    With two heads it returns the logits of both in train mode, as `Streams` does.
    """

    def __init__(
        self,
        towers: Iterable[tuple[str, nn.Module]],
        fuse: nn.Module,
        head: nn.Module,
        second_head: nn.Module | None,
    ) -> None:
        super().__init__()
        names = []
        for name, tower in towers:
            self.add_module(name, tower)
            names.append(name)
        self.towers = tuple(names)
        self.fuse, self.head, self.second_head = fuse, head, second_head

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the heads, in the order of `each`."""
        return ("fused",) if self.second_head is None else ("fused", self.towers[1])

    def each(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """The logits of every head, N x num_classes."""
        one, two = (
            self.get_submodule(name)(clip)
            for name, clip in zip(self.towers, (first, second), strict=True)
        )
        logits: Tensor = self.head(self.fuse(one, two))
        return (logits,) if self.second_head is None else (logits, self.second_head(two))

    def forward(self, first: Tensor, second: Tensor) -> Tensor | tuple[Tensor, ...]:
        logits = self.each(first, second)
        if self.training and len(logits) > 1:
            return logits
        return self.together(logits)

    def together(self, logits: tuple[Tensor, ...]) -> Tensor:
        """The heads' logits as one."""
        return logits[0] if len(logits) == 1 else fused(logits, (0.5, 0.5))


def fused(logits: Iterable[Tensor], weights: Iterable[float]) -> Tensor:
    """The logarithm of the class probabilities, averaged over streams by `weights`."""
    each = zip(logits, weights, strict=True)
    shares = [part.float().log_softmax(dim=1) + torch.tensor(w).log() for part, w in each]
    return torch.stack(shares).logsumexp(dim=0)
