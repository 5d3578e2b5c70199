"""Clip networks with a second stream of optical flow: two-stream I3D, S3D and R(2+1)D.

The network of a family reads the clip, another one of the same integers reads its flow as a clip of
two channels (arXiv 1705.07750). They are trained apart, and their logits are summed. Any family of
layers can be given a flow stream this way; the rows at the end are those that papers print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.inputs import Input
from expand3d.networks import get_family
from expand3d.networks.family import Factor, Limits, Preset, Published
from expand3d.networks.layers.describe import Named, Seq
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.layers.streams import Streams

#: The value of the factor `streams`: the kinds of clip that are read.
STREAMS: tuple[tuple[str, ...], ...] = (("rgb",), ("flow",), ("rgb", "flow"))


@dataclass(frozen=True)
class ClipStreamsPlan(Plan):
    """The integers `network` of each stream's network, and the kind of clip that each reads."""

    network: Plan
    streams: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Input, ...]:
        return tuple(Input(self.frames, self.stride, self.crop, kind=k) for k in self.streams)


class ClipStreams(LayeredFamily):
    """The networks of another family, one per kind of clip.

    `base` are factors in which its base differs from the other family's.
    """

    plan_type = ClipStreamsPlan

    def __init__(self, name: str, of: str, **base: float) -> None:
        family = get_family(of)
        assert isinstance(family, LayeredFamily), f"{of} is not made of layers"
        self.of = family
        self.name = name  # type: ignore[misc]
        meaning = ", ".join(f"{n} {' + '.join(kinds)}" for n, kinds in enumerate(STREAMS))
        streams = Factor("streams", f"clips: {meaning}", 0, len(STREAMS) - 1, integer=True)
        self.factors = {**family.factors, "streams": streams}  # type: ignore[misc]
        self.axes = family.axes  # type: ignore[misc]
        self.base = self._with(family.base.replace(**base), streams=2)  # type: ignore[misc]

    def _with(self, genotype: Genotype, *, streams: float) -> Genotype:
        """A genotype of the other family as one of this."""
        return Genotype(self.name, {**genotype.factors, "streams": streams})

    def _without(self, genotype: Genotype) -> Genotype:
        """The genotype of each stream's network."""
        kept = {name: genotype[name] for name in self.of.factors}
        return Genotype(self.of.name, kept)

    def resolve(self, genotype: Genotype, *, num_classes: int = 400) -> Plan:
        self.check(genotype)
        network = self.of.resolve(self._without(genotype), num_classes=num_classes)
        return ClipStreamsPlan(
            family=self.name,
            frames=network.frames,
            stride=network.stride,
            crop=network.crop,
            num_classes=num_classes,
            network=network,
            streams=STREAMS[int(genotype["streams"])],
        )

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        raise AssertionError("resolve says all of them")

    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        network = self.of.plan_from_json(data["network"])
        return ClipStreamsPlan(**{**data, "network": network, "streams": tuple(data["streams"])})

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq | Streams:
        assert isinstance(plan, ClipStreamsPlan)
        network = cast(Seq, self.of.layers(plan.network, dropout=dropout))
        if len(plan.streams) == 1:
            return network
        named: tuple[Named, ...] = tuple((kind, network) for kind in plan.streams)
        return Streams(named, (1.0,) * len(named), of="logits")

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        for grown in self.of.grow(axis, self._without(genotype), limits):
            yield self._with(grown, streams=genotype["streams"])

    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        for shrunk in self.of.shrink(axis, self._without(genotype)):
            yield self._with(shrunk, streams=genotype["streams"])

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return {
            preset.name: preset for preset in PRESETS.get(self.of.name, lambda family: ())(self)
        }

    def preset(self, name: str, of: str, *published: Published, streams: int = 2) -> Preset:
        """The preset `of` of the other family with these streams."""
        other = self.of.presets[of]
        return Preset(name, self._with(other.genotype, streams=streams), 400, published)


_K400 = "Kinetics-400 test set, 1 view: the whole video, ImageNet"
_I3D = "deepmind/kinetics-i3d"


def _of_i3d(family: ClipStreams) -> tuple[Preset, ...]:
    macs = "conv + linear multiply-adds, 1 view of both streams, flow not counted"
    return (
        family.preset(
            "i3d-twostream",
            "i3d",
            Published("macs", "216 G", macs, "arXiv 1812.03982, table 2", "macs"),
            Published("top1", "74.2", _K400, _I3D),
        ),
        family.preset("i3d-flow", "i3d", Published("top1", "63.4", _K400, _I3D), streams=1),
    )


def _of_s3d(family: ClipStreams) -> tuple[Preset, ...]:
    name = next(name for name in family.of.presets if name.startswith("s3d-g"))
    return (family.preset("s3d-g-twostream", name), family.preset("s3d-g-flow", name, streams=1))


def _of_r2plus1d(family: ClipStreams) -> tuple[Preset, ...]:
    name = next(iter(family.of.presets))
    return (
        family.preset("r2plus1d-twostream", name),
        family.preset("r2plus1d-flow", name, streams=1),
    )


PRESETS = {"i3d": _of_i3d, "s3d": _of_s3d, "r2plus1d": _of_r2plus1d}
I3D = ClipStreams("i3d_twostream", "i3d")
S3D = ClipStreams("s3d_twostream", "s3d")
R2PLUS1D = ClipStreams("r2plus1d_twostream", "r2plus1d", gamma_s=96 / 112)
