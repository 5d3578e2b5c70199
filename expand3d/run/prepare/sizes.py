"""The size of the clips that a network reads, and which frames, by the rule of its study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from expand3d.core.errors import StudyError
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data.cache import FORMAT
from expand3d.data.tiers import EVERY, RULE, enough, sparseness, tier, tiers

#: Short sides of clips that are decoded at one size for all networks, in pixels.
CACHE_GRID = 64


def cached_side(crop: int, recipe: Recipe) -> int:
    """Short side in pixels of the clips that trainings up to `crop` read, at one size for all.

    On a coarse grid, so that studies of one data set share their clips.
    """
    return math.ceil(recipe.jitter[1] * crop / CACHE_GRID) * CACHE_GRID


class Form(NamedTuple):
    """Clips with a short side of `side` pixels, of which every `every`-th frame is kept."""

    side: int
    every: int = 1


@dataclass(frozen=True)
class Sizes:
    """The sizes of a study's clips, all of them a function of the network and of the videos.

    `largest` is the short side of the largest video in pixels, `frames` the median length. `rule`
    is that of the tiers. `fixed` is the size of all clips of a study that began before there were
    tiers; only networks that need more read larger ones.
    """

    largest: int
    frames: int = 1
    rule: int = RULE
    fixed: int | None = None

    @property
    def choices(self) -> tuple[int, ...]:
        """The frames that clips may keep: every so many-th, the sparsest first."""
        if self.fixed is not None or self.rule == 1:
            return (1,)
        return sparseness(self.largest, self.frames)

    def form(self, plan: Plan, recipe: Recipe) -> Form:
        """The clips that a network is trained on."""
        return Form(self.side(plan.crop, recipe), enough(plan.inputs, self.choices))

    def base_form(self, plan: Plan, recipe: Recipe) -> Form:
        """The clips that are decoded before anything is trained, for the network `plan`."""
        return self.form(plan, recipe) if self.fixed is None else Form(self.fixed)

    def side(self, crop: int, recipe: Recipe) -> int:
        """Short side in pixels of the clips that a network with this crop is trained on."""
        if self.fixed is None:
            return min(tier(crop * recipe.jitter[1]), tier(self.largest))
        side = cached_side(crop, recipe)
        return self.fixed if min(side, self.largest) <= self.fixed else side

    def flow_side(self, short_side: int, side: int) -> int:
        """Short side in pixels of the clips whose flow is computed at `short_side` pixels.

        The same for networks of every size, so that none has flow of less detail. Where all clips
        have one size, it is the `side` of the network's own.
        """
        return min(tier(short_side), tier(self.largest)) if self.fixed is None else side

    def ahead(self, side: int, crop: int, recipe: Recipe) -> tuple[int, ...]:
        """The sizes above `side` that networks up to `crop` may read."""
        if self.fixed is not None:
            return ()
        return tuple(t for t in tiers(side, self.side(crop, recipe)) if t > side)

    def others(self, form: Form) -> tuple[Form, ...]:
        """The forms beside `form` that this study or another one may have decoded."""
        sides = tiers(0, self.largest) if self.fixed is None else (self.fixed,)
        found = [Form(side, every) for side in sides for every in EVERY]
        return tuple(other for other in found if other != form)

    def identity(self) -> dict[str, Any]:
        """The rule and the format, as a record keeps them."""
        if self.fixed is not None:
            return {"short_side": self.fixed}
        return {"tiers": self.rule, "clip_format": FORMAT}


def sizes_of(
    began: Mapping[str, Any] | None, *, largest: int, frames: int, crop: int, recipe: Recipe
) -> Sizes:
    """The sizes of a study's clips, as it `began` with them; tiers where it is new.

    `crop` is the largest that its budget reaches. StudyError where a later version began it.
    """
    if began is None:
        return Sizes(largest, frames)
    if "tiers" not in began:
        return Sizes(largest, frames, fixed=began.get("short_side") or cached_side(crop, recipe))
    rule, kept = began["tiers"], began.get("clip_format")
    if rule not in range(1, RULE + 1) or kept != FORMAT:
        raise StudyError(
            f"the study reads clips of rule {rule} and format {kept!r}, "
            "which this version of expand3d does not know; use the version that began it"
        )
    return Sizes(largest, frames, rule)
