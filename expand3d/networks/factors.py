"""The factors that most families share: how they are declared, and how each axis grows.

The rules are X3D's (arXiv 2004.04730, section 3): every setting of an axis is costlier than the one
before, and all but the axis stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache

from expand3d.core.genotype import Genotype
from expand3d.networks.clip_words import BASE_CROP as BASE_CROP
from expand3d.networks.family import Factor, Limits

CROP_GRID = 8
WIDTH_DIVISOR = 8
#: X-Temporal doubles the frames and takes 5/6 of the stride: 2x14 to 4x12, 8x6 to 16x5.
TEMPORAL_STRIDE_RATIO = 5 / 6


def frame_stride(meaning: str = "frame stride at the target frame rate") -> Factor:
    """gamma_tau."""
    return Factor("gamma_tau", meaning, 1, 300, integer=True, step=1, log=True)


def frames(meaning: str = "frames of a clip", *, low: int = 1, grid: int = 1) -> Factor:
    """gamma_t; `low` is the shortest clip that the network can read, `grid` what it grows by."""
    return Factor("gamma_t", meaning, low, 512, integer=True, step=grid, log=True)


def crop(*, low: int = 32) -> Factor:
    """gamma_s; `low` is the smallest crop in pixels that the network can read."""
    step = CROP_GRID / BASE_CROP
    return Factor("gamma_s", f"training crop / {BASE_CROP}", low / BASE_CROP, 8, step=step)


def depth(meaning: str) -> Factor:
    """gamma_d."""
    return Factor("gamma_d", meaning, 0.2, 10, step=0.1, log=True)


def width(meaning: str, *, low: float = 1 / 16) -> Factor:
    """gamma_w."""
    return Factor("gamma_w", meaning, low, 8, step=0.01, log=True)


def bottleneck(meaning: str, *, low: float = 1 / 8) -> Factor:
    """gamma_b."""
    return Factor("gamma_b", meaning, low, 8, step=0.01, log=True)


@cache
def round_width(width: float, multiplier: float = 1.0, *, divisor: int = WIDTH_DIVISOR) -> int:
    """Channels nearest to width x multiplier on a grid of `divisor`, never 10% below it."""
    wanted = width * multiplier
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def table(*factors: Factor) -> dict[str, Factor]:
    """The factors by name."""
    return {factor.name: factor for factor in factors}


def crop_side(genotype: Genotype) -> int:
    """The side of the square training crop in pixels."""
    return round(BASE_CROP * genotype["gamma_s"])


def grow(
    factors: Mapping[str, Factor], axis: str, genotype: Genotype, limits: Limits
) -> Iterator[Genotype]:
    """Ever costlier settings of `axis`, nearest first: crops by 8, the others by their step.

    gamma_tau (X-Fast) adds frames within the same duration; gamma_t (X-Temporal) adds frames
    and takes 5/6 of the stride per doubling, so that clips grow longer and denser at once.
    """
    factor = factors[axis]
    if axis in ("gamma_tau", "gamma_t"):
        yield from _grow_time(factors["gamma_t"], axis, genotype, limits)
    elif axis == "gamma_s":
        first = crop_side(genotype) // CROP_GRID * CROP_GRID + CROP_GRID
        last = min(limits.crop, int(factor.high * BASE_CROP))
        for side in range(first, last + 1, CROP_GRID):
            yield genotype.replace(gamma_s=side / BASE_CROP)
    else:
        per_unit = _per_unit(factor)
        first = math.floor(genotype[axis] * per_unit + 1e-9) + 1
        for step in range(first, int(factor.high * per_unit) + 1):
            yield genotype.replace(**{axis: step / per_unit})


def shrink(factors: Mapping[str, Factor], axis: str, genotype: Genotype) -> Iterator[Genotype]:
    """Ever cheaper settings of `axis`, nearest first; fewer frames keep the duration (16x5, 13x6).

    The low end of a factor's range is the last one.
    """
    factor = factors[axis]
    if axis in ("gamma_tau", "gamma_t"):
        yield from _shrink_time(factors, genotype)
    elif axis == "gamma_s":
        last = math.ceil(crop_side(genotype) / CROP_GRID) - 1
        for side in range(last * CROP_GRID, round(factor.low * BASE_CROP) - 1, -CROP_GRID):
            yield genotype.replace(gamma_s=side / BASE_CROP)
    else:
        per_unit = _per_unit(factor)
        last = math.ceil(genotype[axis] * per_unit - 1e-9) - 1
        for step in range(last, math.ceil(factor.low * per_unit) - 1, -1):
            yield genotype.replace(**{axis: step / per_unit})


def _per_unit(factor: Factor) -> float:
    """Settings per unit of a factor; whole where possible, so that k / 10 is a short decimal."""
    assert factor.step is not None, f"{factor.name} has no step to grow by"
    return round(1 / factor.step) if factor.step <= 1 else 1 / factor.step


def _grow_time(factor: Factor, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
    """More frames: within the same duration (gamma_tau), or longer and denser (gamma_t)."""
    frames, stride = int(genotype["gamma_t"]), int(genotype["gamma_tau"])
    if frames == 1:  # the two axes coincide: one candidate
        first, apart = limits.first_clip
        apart = min(apart, limits.duration // first)
        if apart >= 1:
            yield genotype.replace(gamma_t=first, gamma_tau=apart)
        return
    duration, grid = frames * stride, int(factor.step or 1)
    longest = duration if axis == "gamma_tau" else limits.duration
    for more in range(frames // grid * grid + grid, min(longest, int(factor.high)) + 1, grid):
        if axis == "gamma_tau":
            new_stride = min(round(duration / more), max(duration, limits.duration) // more)
        else:
            ratio = TEMPORAL_STRIDE_RATIO ** math.log2(more / frames)
            new_stride = max(1, round(stride * ratio))
            if not duration < more * new_stride <= limits.duration:
                continue
        yield genotype.replace(gamma_t=more, gamma_tau=new_stride)


def _shrink_time(factors: Mapping[str, Factor], genotype: Genotype) -> Iterator[Genotype]:
    factor = factors["gamma_t"]
    frames, stride = int(genotype["gamma_t"]), int(genotype["gamma_tau"])
    slowest, grid = int(factors["gamma_tau"].high), int(factor.step or 1)
    fewest = max(2, int(factor.low))
    for fewer in range(-(-frames // grid) * grid - grid, fewest - 1, -grid):
        kept = min(slowest, max(1, round(frames * stride / fewer)))
        yield genotype.replace(gamma_t=fewer, gamma_tau=kept)
    if factor.low <= 1 < frames:
        yield genotype.replace(gamma_t=1, gamma_tau=1)
