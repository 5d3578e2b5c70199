"""Families whose networks are described as layers: cost, module and axes from one description."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.family import Family, Limits
from expand3d.networks.layers.describe import Layer, Seq, Shape, TooSmall, operators, smallest
from expand3d.networks.layers.streams import Fused, Several, Streams
from expand3d.networks.operators import Cost

if TYPE_CHECKING:
    from torch import nn

    from expand3d.networks.remapping.channels import Channels


class LayeredFamily(Family):
    """A family that says its integers (`integers`) and the layers that they mean (`layers`)."""

    plan_type: ClassVar[type[Plan]]

    @abstractmethod
    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        """The fields of `plan_type` beside `Plan`'s own; the only place that rounds."""

    @abstractmethod
    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq | Several:
        """The network of `plan`: a `Seq` of its stages, or several of them with an input each."""

    def resolve(self, genotype: Genotype, *, num_classes: int = 400) -> Plan:
        """The integers of `genotype`; FactorError with the smallest legal clip below it."""
        self.check(genotype)
        require_classes(num_classes)
        frames = int(genotype["gamma_t"])
        plan = self.plan_type(
            family=self.name,
            frames=frames,
            stride=1 if frames == 1 else int(genotype["gamma_tau"]),
            crop=gammas.crop_side(genotype),
            num_classes=num_classes,
            **self.integers(genotype),
        )
        self._refuse_too_small(plan)
        return plan

    def _refuse_too_small(self, plan: Plan) -> None:
        try:
            self.cost(plan)
        except TooSmall:
            parts = _parts(self.layers(plan), plan)
            least = [smallest(layers, channels=clip.channels) for layers, clip in parts]
            frames, side = (max(sizes) for sizes in zip(*least, strict=True))
            raise FactorError(
                f"{self.name} cannot read clips of {plan.frames} frames of {plan.crop} x "
                f"{plan.crop}; the smallest is {frames} of {side} x {side}"
            ) from None

    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        return self.plan_type(**{key: _tuples(value) for key, value in data.items()})

    def cost(self, plan: Plan, *, crop: int | None = None) -> Cost:
        """Arithmetic cost of one clip, from the layers' shapes; no torch."""
        return _cost(self, plan, crop)

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        return gammas.grow(self.factors, axis, genotype, limits)

    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        return gammas.shrink(self.factors, axis, genotype)

    def build(self, plan: Plan, *, dropout: float = 0.5) -> nn.Module:
        """A network from float N x C x T x H x W of each input to logits N x num_classes."""
        from expand3d.networks.layers.modules import build

        return build(self.layers(plan, dropout=dropout), _shapes(plan))

    def follow(self, old: Plan, new: Plan, into: Channels) -> None:
        from expand3d.networks.layers.follow import follow

        clips = tuple(zip(_shapes(old), _shapes(new), strict=True))
        follow(self.layers(old), self.layers(new), clips, into)


@lru_cache(maxsize=512)
def _cost(family: LayeredFamily, plan: Plan, crop: int | None) -> Cost:
    """`LayeredFamily.cost`, remembered: who resolves a plan, which counts it, asks for it next.

    Enough for all presets, for the papers' classes and a user's.
    """
    inputs = _shapes(dataclasses.replace(plan, crop=crop) if crop else plan)
    layers = family.layers(plan)
    clip = inputs if isinstance(layers, Several) else inputs[0]
    return Cost(tuple(operators(layers, clip)))


def require_classes(count: int) -> None:
    """FactorError where there is no class."""
    if count < 1:
        raise FactorError(f"num_classes = {count} must be at least 1")


def _shapes(plan: Plan) -> tuple[Shape, ...]:
    """The shape of each input."""
    return tuple(Shape(*each.shape[:3]) for each in plan.inputs)


def _parts(layers: Seq | Several, plan: Plan) -> Iterator[tuple[Layer, Shape]]:
    """The networks that read one input each, with its shape."""
    networks: list[Layer] = [layers]
    if isinstance(layers, Streams):
        networks = [stream for _, stream in layers.streams]
    elif isinstance(layers, Fused):
        networks = [tower for _, tower in layers.towers]
    yield from zip(networks, _shapes(plan), strict=True)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
