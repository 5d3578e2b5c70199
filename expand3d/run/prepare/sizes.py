"""The size of the clips that a network reads, by the rule of its study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.core.errors import StudyError
from expand3d.core.recipe import Recipe
from expand3d.data.cache import FORMAT
from expand3d.data.tiers import RULE, tier, tiers

#: Short sides of clips that are decoded at one size for all networks, in pixels.
CACHE_GRID = 64


def cached_side(crop: int, recipe: Recipe) -> int:
    """Short side in pixels of the clips that trainings up to `crop` read, at one size for all.

    On a coarse grid, so that studies of one data set share their clips.
    """
    return math.ceil(recipe.jitter[1] * crop / CACHE_GRID) * CACHE_GRID


@dataclass(frozen=True)
class Sizes:
    """The sizes of a study's clips, all of them a function of the network and of the videos.

    `largest` is the short side of the largest video in pixels. `fixed` is the size of all clips of
    a study that began before there were tiers; only networks that need more read larger ones.
    """

    largest: int
    fixed: int | None = None

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

    def others(self, side: int) -> tuple[int, ...]:
        """The sizes beside `side` that the study may have decoded."""
        found = tiers(0, self.largest) if self.fixed is None else (self.fixed,)
        return tuple(other for other in found if other != side)

    def identity(self) -> dict[str, Any]:
        """The rule and the format, as a record keeps them."""
        if self.fixed is not None:
            return {"short_side": self.fixed}
        return {"tiers": RULE, "clip_format": FORMAT}


def sizes_of(began: Mapping[str, Any] | None, *, largest: int, crop: int, recipe: Recipe) -> Sizes:
    """The sizes of a study's clips, as it `began` with them; tiers where it is new.

    `crop` is the largest that its budget reaches. StudyError where a later version began it.
    """
    if began is None:
        return Sizes(largest)
    if "tiers" not in began:
        return Sizes(largest, fixed=began.get("short_side") or cached_side(crop, recipe))
    kept = {key: began.get(key) for key in ("tiers", "clip_format")}
    if kept != Sizes(largest).identity():
        raise StudyError(
            f"the study reads clips of rule {kept['tiers']} and format {kept['clip_format']!r}, "
            "which this version of expand3d does not know; use the version that began it"
        )
    return Sizes(largest)
