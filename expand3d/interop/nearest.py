"""The network nearest in cost that a codebase can build, where it cannot build the one wanted.

Each refusal names a field. For a field there are settings of factors that other codebases tend to
express; of those the nearest in cost is tried first, until one is built or the attempts end.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import count, product

from expand3d.core.errors import ExportError, FactorError, Inexpressible
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugin_rows import load_target
from expand3d.core.plugins import FORMATS
from expand3d.core.quantity import format_macs
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.networks.factors import BASE_CROP
from expand3d.networks.families.resnet import STEM_WIDTH as RESNET_STEM
from expand3d.networks.families.x3d import STEM_WIDTH as X3D_STEM

#: Networks that are looked at in one search at most.
ATTEMPTS = 3000
Changes = Mapping[str, float]
#: Builds a plan of a genotype there, or raises Inexpressible; `nearest` lets pass what is of the
#: same integers and reads other frames.
Speller = Callable[..., object]

#: Settings of factors that other codebases express, by family and refused field.
_CROPS: tuple[Changes, ...] = tuple({"gamma_s": 32 * n / BASE_CROP} for n in range(1, 29))
_RESNETS: tuple[Changes, ...] = tuple(
    {"gamma_d": 1, **dict(zip(("res2", "res3", "res4", "res5"), blocks, strict=True))}
    for blocks in ((2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3))
)
_SLOWFAST_WIDTHS: tuple[Changes, ...] = tuple(
    {"gamma_w": 8 * n / RESNET_STEM, "gamma_b": 1, "beta": 1 / inverse}
    for n, inverse in product(range(1, 33), (2, 4, 8, 16))
)
_RESNET_WIDE: Mapping[str, tuple[Changes, ...]] = dict.fromkeys(
    ("stem", "widths", "inners"),
    tuple({"gamma_w": 8 * n / RESNET_STEM, "gamma_b": 1} for n in range(1, 33)),
)
#: Temporal kernels of C2D, SlowOnly and I3D-R50.
_TEMPORAL: tuple[Changes, ...] = (
    {"temporal": 0, "stem_kernel": 1},
    {"temporal": 2, "stem_kernel": 1, "pattern4": 1, "pattern5": 1},
    {
        **{"temporal": 4, "stem_kernel": 5},
        **{"pattern2": 1, "pattern3": 2, "pattern4": 2, "pattern5": 3},
    },
)
#: pytorchvideo's block, whose middle is as wide as its inside.
_R2PLUS1D: tuple[Changes, ...] = (
    {
        **{"gamma_b": 4 / 9, "bottleneck": 1, "mid_per_conv": 1, "time_first": 1},
        **{"stem_mid": 0, "stem_pool": 0},
    },
)
_X3D_WIDTHS: tuple[Changes, ...] = tuple({"gamma_w": 8 * n / X3D_STEM} for n in range(1, 65))
_X3D_INNERS: tuple[Changes, ...] = tuple({"gamma_b": n / 16} for n in range(16, 129))
SETTINGS: Mapping[str, Mapping[str, tuple[Changes, ...]]] = {
    "x3d": {
        "crop": _CROPS,
        **dict.fromkeys(("stem", "widths"), _X3D_WIDTHS),
        **dict.fromkeys(("inners", "se_widths", "conv5"), _X3D_INNERS),
        "depths": tuple({"gamma_d": n / 10} for n in range(1, 101)),
    },
    "slowfast": {
        "crop": _CROPS,
        "depths": _RESNETS,
        **dict.fromkeys(("stem", "widths", "inners", "head_in"), _SLOWFAST_WIDTHS),
        "temporal_kernels": ({"slow_temporal": 4, "temporal_res4": 640},),
        **dict.fromkeys(
            ("lateral", "lateral_ratio"),
            tuple({"lateral_ratio": n, "beta": 1 / 8} for n in (1, 2, 4)),
        ),
        "lateral_kernel": tuple({"lateral_kernel": n} for n in (3, 5, 7)),
    },
    "slowonly": {
        "crop": _CROPS,
        "depths": _RESNETS,
        **_RESNET_WIDE,
        **dict.fromkeys(("kernels", "stem_kernel"), _TEMPORAL),
        "stem_strides": ({"stem_stride": 1, "pool_stride": 1},),
    },
    "csn": {
        "crop": _CROPS,
        "depths": _RESNETS,
        **_RESNET_WIDE,
        "preserved": ({"preserved": 0},),
    },
    "r2plus1d": {
        "crop": _CROPS,
        "depths": _RESNETS,
        **_RESNET_WIDE,
        **dict.fromkeys(("bottleneck", "time_first", "stem_mid", "stem_pool", "mids"), _R2PLUS1D),
        "strides": ({"res2_stride": 2, "halves_time": 4},),
    },
}


def fitted(network: ExportedNetwork, target: str, *, nearest: bool = False) -> ExportedNetwork:
    """The network where `target` can build it; with `nearest` the nearest that it can, untrained.

    ExportError names what it cannot express, and the nearest network with its cost.
    """
    row = FORMATS.row(target)
    if not row.speller:
        if nearest:
            raise ExportError(f"--to {target} writes every network: it has no --nearest")
        return network
    spell: Speller = load_target(row.speller)
    try:
        spell(network.plan, network.genotype, nearest=nearest)
        return network
    except Inexpressible as error:
        found = nearest_network(network.genotype, spell, num_classes=network.plan.num_classes)
        if found is None or found[1] == network.plan:
            raise
        genotype, plan = found
        if not nearest:
            raise Inexpressible(
                f"{error}; {_offer(network, genotype, plan)}", error.field
            ) from None
    made = f"the nearest network that {target} builds to {network.title}; it is not trained"
    return dataclasses.replace(
        network, genotype=genotype, plan=plan, weights=None, scores={}, provenance={"made_by": made}
    )


def differences(old: Genotype, new: Genotype) -> str:
    """The factors that differ, as 'gamma_w = 1.67 for 1.5'."""
    changed = [name for name in new.factors if new[name] != old[name]]
    return ", ".join(f"{name} = {new[name]:g} for {old[name]:g}" for name in changed)


def _offer(network: ExportedNetwork, genotype: Genotype, plan: Plan) -> str:
    new, old = (get_family(each.family).cost(each).macs for each in (plan, network.plan))
    return (
        f"the nearest network has {differences(network.genotype, genotype)} and costs "
        f"{format_macs(new)} for {format_macs(old)}; --nearest takes it"
    )


def nearest_network(
    genotype: Genotype, spell: Speller, *, num_classes: int
) -> tuple[Genotype, Plan] | None:
    """The network nearest in multiply-adds that `spell` takes; None where none was found."""
    family = get_family(genotype.family)
    table = SETTINGS.get(genotype.family, {})
    wanted = math.log(family.cost(family.resolve(genotype, num_classes=num_classes)).macs)
    numbers, seen = count(), {genotype}
    waiting: list[tuple[float, int, Genotype]] = [(0.0, next(numbers), genotype)]
    for _ in range(ATTEMPTS):
        if not waiting:
            break
        _, _, now = heapq.heappop(waiting)
        plan = family.resolve(now, num_classes=num_classes)
        try:
            spell(plan, now, nearest=True)
        except Inexpressible as error:
            for other in _others(now, plan, error.field, table):
                if other not in seen:
                    seen.add(other)
                    macs = family.cost(family.resolve(other, num_classes=num_classes)).macs
                    apart = abs(math.log(macs) - wanted)
                    heapq.heappush(waiting, (apart, next(numbers), other))
        except ExportError:
            return None
        else:
            return now, plan
    return None


def _others(
    genotype: Genotype, plan: Plan, field: str, table: Mapping[str, tuple[Changes, ...]]
) -> Iterator[Genotype]:
    """The same with other settings of what the refused field follows from."""
    settings = table.get(field, ())
    if field == "frames":  # whole slow frames
        alpha = int(genotype.factors.get("alpha", 1))
        settings = tuple({"gamma_t": alpha * n} for n in range(1, 65))
    family = get_family(genotype.family)
    for changes in settings:
        other = genotype.replace(**changes)
        try:
            family.check(other)
        except FactorError:
            continue
        if family.resolve(other, num_classes=plan.num_classes) != plan:
            yield other
