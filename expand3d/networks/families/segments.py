"""Networks that classify single pictures of a clip, RGB or stacked flow, and average what they say.

Two-stream networks (arXiv 1406.2199) look at one moment of a clip, TSN (arXiv 1608.00859) at one of
each of K segments. Both have a 2D network per stream whose weights all pictures share. So they are
one family in two files: what differs is the base, the axes that a search grows, and the presets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.inputs import Input
from expand3d.networks import factors as gammas
from expand3d.networks.families import backbones, resnet
from expand3d.networks.families.backbones import Backbone
from expand3d.networks.family import Factor, Limits
from expand3d.networks.layers.describe import Named, Seq
from expand3d.networks.layers.family import LayeredFamily, require_classes
from expand3d.networks.layers.streams import Rule, Streams

if TYPE_CHECKING:
    from expand3d.networks.remapping.channels import Channels

#: The value of the factor `streams`: the inputs of the network.
STREAMS: tuple[tuple[str, ...], ...] = (
    ("rgb",),
    ("flow",),
    ("rgb", "flow"),
    ("rgb-difference",),
    ("warped-flow",),
    ("rgb", "flow", "warped-flow"),
    ("centred-flow",),
    ("rgb", "centred-flow"),
    ("trajectories",),
    ("rgb", "trajectories"),
    ("both-ways-flow",),
    ("rgb", "both-ways-flow"),
)
RULES: tuple[Rule, ...] = ("average", "max", "weighted")
#: Weight of a stream of motion beside RGB's 1 (TSN; two-stream networks average equally).
MOTION_WEIGHT = 1.5


@dataclass(frozen=True)
class Stream:
    """One stream: the kind of its pictures, how many stand side by side, and its network."""

    kind: str
    stack: int
    weight: float
    network: Backbone


@dataclass(frozen=True)
class SegmentPlan(Plan):
    """The integers; `frames` is the number of segments, each of which gives one picture."""

    streams: tuple[Stream, ...]
    consensus: Rule

    @property
    def inputs(self) -> tuple[Input, ...]:
        return tuple(
            Input(1, 1, self.crop, kind=s.kind, stack=s.stack, segments=self.frames)
            for s in self.streams
        )


class SegmentFamily(LayeredFamily):
    """A 2D network per stream over the pictures of a clip's segments."""

    plan_type = SegmentPlan
    #: The streams that the axis `streams` passes through, each with those before it.
    chain: ClassVar[tuple[tuple[str, ...], ...]] = ()
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        Factor(
            "segments", "parts of the clip, each seen by one picture", 1, 64, integer=True, step=1
        ),
        Factor(
            "stack", "fields of flow, or differences, in one picture", 1, 32, integer=True, step=1
        ),
        gammas.crop(),
        gammas.depth("blocks or convolutions of a stage / what the backbone has, rounded up"),
        gammas.width("width of every layer of the backbone / what the backbone has"),
        Factor(
            "motion_width",
            "width of the streams of motion / gamma_w",
            1 / 8,
            8,
            step=0.05,
            log=True,
        ),
        Factor(
            "streams",
            "inputs: " + ", ".join(f"{n} {' + '.join(kinds)}" for n, kinds in enumerate(STREAMS)),
            0,
            len(STREAMS) - 1,
            integer=True,
        ),
        Factor("motion_weight", "weight of a stream of motion in the average; RGB has 1", 0.1, 10),
        Factor(
            "consensus",
            "of the segments' scores: " + ", ".join(f"{n} {r}" for n, r in enumerate(RULES)),
            0,
            len(RULES) - 1,
            integer=True,
        ),
        *backbones.table(),
    )

    def resolve(self, genotype: Genotype, *, num_classes: int = 400) -> Plan:
        self.check(genotype)
        require_classes(num_classes)
        kinds = STREAMS[int(genotype["streams"])]
        plan = SegmentPlan(
            family=self.name,
            frames=int(genotype["segments"]),
            stride=1,
            crop=gammas.crop_side(genotype),
            num_classes=num_classes,
            streams=tuple(_stream(kind, genotype) for kind in kinds),
            consensus=RULES[int(genotype["consensus"])],
        )
        self._refuse_too_small(plan)
        return plan

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        """As elsewhere; the axis `streams` adds those of `chain`."""
        if axis != "streams":
            yield from super().grow(axis, genotype, limits)
            return
        for kinds in self.chain[self._streams(genotype) :]:
            yield genotype.replace(streams=STREAMS.index(kinds))

    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        if axis != "streams":
            yield from super().shrink(axis, genotype)
            return
        if STREAMS[int(genotype["streams"])] in self.chain:
            for kinds in self.chain[: self._streams(genotype) - 1][::-1]:
                yield genotype.replace(streams=STREAMS.index(kinds))

    def _streams(self, genotype: Genotype) -> int:
        """The number of steps of the chain that are done; all, where the streams are others."""
        kinds = STREAMS[int(genotype["streams"])]
        return self.chain.index(kinds) + 1 if kinds in self.chain else len(self.chain)

    def follow(self, old: Plan, new: Plan, into: Channels) -> None:
        if old.kinds != new.kinds:
            raise WeightsError(
                f"weights of {' + '.join(old.kinds)} cannot start {' + '.join(new.kinds)}"
            )
        super().follow(old, new, into)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        raise AssertionError("resolve says all of them")

    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        streams = tuple(
            Stream(**{**each, "network": backbones.from_json(each["network"])})
            for each in data["streams"]
        )
        return SegmentPlan(**{**data, "streams": streams})

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq | Streams:
        assert isinstance(plan, SegmentPlan)
        named: list[Named] = [
            (stream.kind.replace("-", "_"), self._network(stream, plan, dropout))
            for stream in plan.streams
        ]
        if len(named) == 1:
            return cast(Seq, named[0][1])
        return Streams(tuple(named), tuple(stream.weight for stream in plan.streams))

    def _network(self, stream: Stream, plan: SegmentPlan, dropout: float) -> Seq:
        return backbones.network(
            stream.network,
            num_classes=plan.num_classes,
            dropout=dropout,
            side=plan.crop,
            consensus=plan.consensus,
        )


def _stream_of(data: Mapping[str, Any]) -> Stream:
    return Stream(**{**data, "network": backbones.from_json(data["network"])})


def _stream(kind: str, genotype: Genotype) -> Stream:
    motion = kind != "rgb"
    width = genotype["gamma_w"] * (genotype["motion_width"] if motion else 1)
    return Stream(
        kind=kind,
        stack=int(genotype["stack"]) if motion else 1,
        weight=genotype["motion_weight"] if motion else 1.0,
        network=backbones.of(genotype, width=width),
    )


def depth_factors(depth: int) -> dict[str, float]:
    """The backbone and blocks of a ResNet that is named after its depth."""
    kind = backbones.RESNET if depth < 50 else backbones.BOTTLENECK
    return {"backbone": kind, **resnet.depth_factors(depth)}


def streams(*kinds: str) -> int:
    """The value of the factor `streams` for these inputs."""
    return STREAMS.index(kinds)
