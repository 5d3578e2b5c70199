"""The figures that are printed about a network, each under a key with one convention.

A view is one clip at one crop. The X3D paper tests with 10 views (10 clips uniform in time, the
training crop) or 30 (10 clips, three crops of 128 gamma_s, that is 8/7 of the training crop).
"""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.core.genotype import Plan
from expand3d.core.plugins import FORMATS
from expand3d.data import crops as augment
from expand3d.networks import get_family

#: Export targets that build a network of their own, whose counts are figures too.
REBUILT = tuple(target for target, row in FORMATS.items() if row.rebuilds)

#: Key -> what the number counts; a network's figures have exactly these keys.
CONVENTIONS: Mapping[str, str] = {
    "macs": "multiply-adds of conv + linear, 1 clip, train crop (the papers' FLOPs)",
    "macs_10_view": "the same for 10 clips x 1 train crop",
    "macs_test_crop": "the same for 1 clip at the 30-view test crop (8/7 of train)",
    "macs_30_view": "the same for 10 clips x 3 test crops",
    "fvcore_flops": "fvcore's total in eval mode: macs + 2 per BatchNorm element, 1 clip",
    **{f"fvcore_flops_{it}": f"fvcore_flops of the network as {it} builds it" for it in REBUILT},
    "params": "every learned number",
    "params_without_bn": "params less BatchNorm's affine pair (the X3D paper's count)",
    **{f"params_{it}": f"params of the network as {it} builds it" for it in REBUILT},
    "activations": "elements of all convolution outputs, 1 clip at the train crop",
    "memory": "predicted peak bytes of inference, 1 clip, float32: params + 3 x largest output",
}


def wide_crop(plan: Plan) -> int:
    """Side in pixels of the three crops of the 30-view test."""
    return augment.test_crop(plan.crop, 3)


def figures(plan: Plan) -> dict[str, int | None]:
    """Every figure of CONVENTIONS for `plan`, from arithmetic alone; None where there is none."""
    family = get_family(plan.family)
    cost = family.cost(plan)
    larger = family.cost(plan, crop=wide_crop(plan))
    totals: dict[str, int | None] = {
        **cost.totals(),
        "macs_10_view": 10 * cost.macs,
        "macs_test_crop": larger.macs,
        "macs_30_view": 30 * larger.macs,
    }
    for target in REBUILT:
        variant = family.variants.get(target)
        theirs = family.cost(variant(plan)) if variant else None
        totals[f"fvcore_flops_{target}"] = theirs.fvcore_flops if theirs else None
        totals[f"params_{target}"] = theirs.params if theirs else None
    return {key: totals[key] for key in CONVENTIONS}


def short(value: int) -> str:
    """`value` to four digits with its unit: 20.66 M, 1.963 G."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:#.4g} {unit}"
    return str(value)
