"""A family: its factors, how each axis grows, its presets, and how to cost and build it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from expand3d.core.errors import FactorError, WeightsError, nearest
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugins import RESTRICTIONS
from expand3d.networks.clip_words import CLIP_WORDS, SEGMENTS
from expand3d.networks.operators import Cost

if TYPE_CHECKING:
    from torch import Tensor, nn

    from expand3d.networks.remapping.channels import Channels


@dataclass(frozen=True)
class Factor:
    """One number that a search may turn, with its legal range.

    An axis grows by `step`; None where the family has a rule of its own for it. `log` says that
    equal ratios of the value matter equally, which a sampler wants to know.
    """

    name: str
    meaning: str
    low: float
    high: float
    integer: bool = False
    step: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Limits:
    """The limits of a search: no axis grows past those of the data, nor to a network refused.

    `crop` is the largest crop side in pixels (on a grid of 8), `duration` the longest clip in
    frames at the target frame rate, `first_clip` the frames and stride that the temporal axes
    take when they leave a single frame (X3D's first temporal step: 2 x 14). `restrictions` names
    rows of `plugins.RESTRICTIONS`, each of which may refuse any plan.
    """

    crop: int = 448
    duration: int = 300
    first_clip: tuple[int, int] = (2, 14)
    restrictions: tuple[str, ...] = ()

    @cached_property
    def _refusals(self) -> tuple[Callable[[Plan], str | None], ...]:
        return tuple(RESTRICTIONS.load(name) for name in self.restrictions)

    def refusal(self, plan: Plan) -> str | None:
        """The reason of the first restriction that refuses `plan`; None where all allow it."""
        reasons = (refusal(plan) for refusal in self._refusals)
        return next((reason for reason in reasons if reason is not None), None)

    def to_json(self) -> dict[str, Any]:
        """The limits as records keep them; without restrictions, as earlier versions wrote them."""
        data = {
            "crop": self.crop,
            "duration": self.duration,
            "first_clip": list(self.first_clip),
        }
        return {**data, "restrictions": list(self.restrictions)} if self.restrictions else data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limits:
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists})


@dataclass(frozen=True)
class Published:
    """A figure as printed: `what` is 'macs', 'params' or 'top1', `value` the printed text.

    `key` is the `Cost.totals` key that follows the same convention; None for what is not counted.
    `crop` is the side in pixels that it is counted at; None for the training crop.
    """

    what: str
    value: str
    convention: str
    source: str
    key: str | None = None
    crop: int | None = None


@dataclass(frozen=True)
class Preset:
    """A published network: its genotype, and what its authors printed about it."""

    name: str
    genotype: Genotype
    num_classes: int = 400
    published: tuple[Published, ...] = field(default=())


@dataclass(frozen=True)
class Source:
    """One codebase's names of a family's weights.

    `marker` is a pattern that some of its names match and no other codebase's do. `rules` are
    pairs of a pattern for a whole name and what it becomes here (`re.fullmatch`, `Match.expand`);
    the first that matches counts. Names that match one of `ignored` are left out. `absent` are our
    BatchNorms that this codebase leaves out where it has nothing to scale: they become identities.
    `turn` gives the tensors, under our names, whose numbers are in another order there. `eps` is
    what its own networks add to a BatchNorm's variance, where that is not ours.
    """

    codebase: str
    marker: str
    rules: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    turn: Callable[[Plan, Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    eps: float | None = None

    def turned(self, plan: Plan, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The renamed weights in our order."""
        return state if self.turn is None else self.turn(plan, state)

    def knows(self, names: Sequence[str]) -> bool:
        """True where these are this codebase's names."""
        return any(re.fullmatch(self.marker, name) for name in names)

    def rename(self, name: str) -> str | None:
        """Our name of one of theirs; None where no rule matches."""
        for pattern, ours in self.rules:
            if found := re.fullmatch(pattern, name):
                return found.expand(ours)
        return None

    def ignores(self, name: str) -> bool:
        """True where the tensor of that name has no place here."""
        return any(re.fullmatch(pattern, name) for pattern in self.ignored)


class Family(ABC):
    """The interface behind which every network family stands; one instance, no state."""

    name: ClassVar[str]
    factors: ClassVar[Mapping[str, Factor]]
    axes: ClassVar[tuple[str, ...]]
    base: ClassVar[Genotype]
    presets: ClassVar[Mapping[str, Preset]]
    #: Other codebases' names of factors: name -> (factor, how many of theirs make 1 of the factor).
    spellings: ClassVar[Mapping[str, tuple[str, float]]] = {}
    #: What other codebases build for a plan, by export target.
    variants: ClassVar[Mapping[str, Callable[[Plan], Plan]]] = {}
    #: How other codebases name the weights.
    sources: ClassVar[tuple[Source, ...]] = ()

    @abstractmethod
    def resolve(self, genotype: Genotype, *, num_classes: int = 400) -> Plan:
        """The integers of `genotype`; the only place where factors are rounded."""

    @abstractmethod
    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        """The inverse of `Plan.to_json`."""

    @abstractmethod
    def cost(self, plan: Plan, *, crop: int | None = None) -> Cost:
        """Arithmetic cost of one view, needing neither torch nor allocation.

        `crop` asks for another input side than the training crop (a test crop).
        """

    @abstractmethod
    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        """Ever costlier settings of one axis, nearest first, until the axis or the data ends."""

    @abstractmethod
    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        """Ever cheaper settings of one axis, nearest first (backward contraction)."""

    @abstractmethod
    def build(self, plan: Plan, *, dropout: float = 0.5) -> nn.Module:
        """A network that maps float N x 3 x T x H x W to logits N x num_classes."""

    def follow(self, old: Plan, new: Plan, into: Channels) -> None:
        """Tell `into` which channels of `old`'s network are which of `new`'s.

        WeightsError where one's weights cannot start the other; a family that says nothing here
        remaps none.
        """
        raise WeightsError(f"{self.name} has no rule for weights of another size")

    def spell(self, name: str, value: float) -> tuple[str, float]:
        """The factor, and its value, that `name` = `value` says; `name` may be a spelling of it."""
        if name in self.factors:
            return name, value
        spellings = self.all_spellings
        if name not in spellings:
            if name in CLIP_WORDS:  # the nearest name would be a stage's
                takes = "; the clip is parted: give segments" if SEGMENTS in self.factors else ""
                raise FactorError(f"{self.name} has no {name}{takes}")
            known = [*self.factors, *spellings]
            raise FactorError(f"{self.name} has no factor {name!r}{nearest(name, known)}")
        factor, unit = spellings[name]
        return factor, value / unit

    @property
    def all_spellings(self) -> Mapping[str, tuple[str, float]]:
        """The other names of factors: those of clips, which every family has, and its own."""
        shared = {
            word: (factor, unit)
            for word, choices in CLIP_WORDS.items()
            for factor, unit in choices
            if factor in self.factors and word not in self.factors
        }
        return {**shared, **self.spellings}

    def check(self, genotype: Genotype) -> None:
        """Raise FactorError where a factor is unknown, missing or outside its range."""
        for name, value in genotype.factors.items():
            factor = self.factors.get(name)
            if factor is None:
                raise FactorError(
                    f"{self.name} has no factor {name!r}{nearest(name, self.factors)}"
                )
            if not factor.low <= value <= factor.high:
                legal = min(max(value, factor.low), factor.high)
                raise FactorError(
                    f"{name} = {value:g} is outside {factor.low:g} to {factor.high:g}; "
                    f"the nearest legal value is {legal:g}"
                )
            if factor.integer and value != int(value):
                raise FactorError(
                    f"{name} = {value:g} must be a whole number; the nearest is {round(value)}"
                )
        missing = [name for name in self.factors if name not in genotype.factors]
        if missing:
            raise FactorError(f"{self.name} needs a value for {', '.join(missing)}")
