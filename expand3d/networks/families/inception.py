"""Inception-v1 over clips, as I3D and S3D share it: widths, blocks and where convolutions are 3D.

Every 3x3 convolution of GoogLeNet becomes 3x3x3 (I3D, arXiv 1705.07750), 1x3x3 followed by 3x1x1
(S3D, arXiv 1712.04851), or stays 1x3x3. Strides and pools over time are the same in all three, so
that more stages of 3D convolutions always cost more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.family import Factor
from expand3d.networks.layers.describe import (
    Concat,
    Dropout,
    Gate,
    Linear,
    Mean,
    Named,
    Padding,
    Pair,
    Pool,
    Seq,
    conv_norm,
    seq,
)

EPS = 1e-3
#: Widths of conv1 (7x7), and of conv2's 1x1 and 3x3.
STEM, REDUCE, CONV2 = 64, 64, 192
Block = tuple[int, int, int, int, int, int]
#: Per block: 1x1; 1x1 before a 3x3, and that; 1x1 before a 3x3, and that; 1x1 behind the max-pool.
BLOCKS: Mapping[str, Sequence[Block]] = {
    "mixed3": ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    "mixed4": (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    "mixed5": ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}
#: The max-pool before each stage of blocks; its stride is the kernel's, or 2 where that is 3.
POOLS: Mapping[str, Pair] = {"mixed3": (1, 3), "mixed4": (3, 3), "mixed5": (2, 2)}
#: Frames that leave one behind the last stage; the grid on which clips grow.
TEMPORAL_STRIDE = 8
#: Stages whose 3x3 convolutions may be 3D, from the bottom up.
PLACES = ("conv2", *BLOCKS)


@dataclass(frozen=True)
class InceptionPlan(Plan):
    """The integers; `blocks` runs over mixed3 to mixed5, their blocks, and each block's widths."""

    stem: int
    stem_kernel: int
    stem_separable: bool
    reduce: int
    conv2: int
    blocks: tuple[tuple[Block, ...], ...]
    #: Whether convolutions are 3D in conv2 and in mixed3 to mixed5.
    volumetric: tuple[bool, ...]
    separable: bool
    gated: bool
    #: TensorFlow's padding; otherwise the same on both sides.
    same: bool


def factors() -> dict[str, Factor]:
    """The factors that both families turn."""
    return gammas.table(
        gammas.frame_stride(),
        gammas.frames(grid=TEMPORAL_STRIDE),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x 2, 5, 2); more repeat the last"),
        gammas.width("width of every convolution; 1 is 64 channels in the stem"),
        gammas.bottleneck("width of the 1x1 before a block's 3x3 / what the paper has"),
        Factor(
            "stages_3d",
            "how many of conv2, mixed3, mixed4, mixed5 are 3D, the top ones first",
            0,
            len(PLACES),
            integer=True,
            step=1,
        ),
        Factor("bottom_heavy", "1: the bottom ones first", 0, 1, integer=True),
        Factor(
            "stem_reach",
            "frames before and behind that conv1 reads; 3 is 7x7x7",
            0,
            3,
            integer=True,
            step=1,
        ),
    )


#: What both families grow along.
AXES = (
    *("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b"),
    *("stages_3d", "stem_reach"),
)
#: Eight frames, since time is halved three times; 2D until a search grows it.
BASE: Mapping[str, float] = {
    "gamma_tau": 4,
    "gamma_t": TEMPORAL_STRIDE,
    "gamma_s": 1,
    "gamma_d": 0.5,
    "gamma_w": 1 / 8,
    "gamma_b": 1,
    "stages_3d": 0,
    "bottom_heavy": 0,
    "stem_reach": 0,
}


def integers(genotype: Genotype) -> dict[str, Any]:
    """The fields of `InceptionPlan` that follow from the factors of both families."""
    width, inner = genotype["gamma_w"], genotype["gamma_w"] * genotype["gamma_b"]
    wide, chosen = len(PLACES), int(genotype["stages_3d"])
    order = range(wide) if genotype["bottom_heavy"] else range(wide - 1, -1, -1)
    volumetric = set(order[:chosen])
    return {
        "stem": round_width(STEM, width),
        "stem_kernel": 2 * int(genotype["stem_reach"]) + 1,
        "reduce": round_width(REDUCE, width),
        "conv2": round_width(CONV2, width),
        "blocks": tuple(
            tuple(_scaled(block, width, inner) for block in _repeated(stage, genotype["gamma_d"]))
            for stage in BLOCKS.values()
        ),
        "volumetric": tuple(place in volumetric for place in range(wide)),
    }


def _repeated(stage: Sequence[Block], gamma: float) -> Iterator[Block]:
    """The first ceil(gamma x count) blocks of a stage; beyond its count the last one again."""
    for place in range(math.ceil(gamma * len(stage) - 1e-9)):
        yield stage[min(place, len(stage) - 1)]


def _scaled(block: Block, width: float, inner: float) -> Block:
    b0, reduce1, b1, reduce2, b2, b3 = block
    return (
        round_width(b0, width),
        round_width(reduce1, inner),
        round_width(b1, width),
        round_width(reduce2, inner),
        round_width(b2, width),
        round_width(b3, width),
    )


def network(plan: InceptionPlan, *, dropout: float) -> Seq:
    """conv1, conv2, mixed3, mixed4, mixed5, head."""
    stages: list[Named] = [
        ("conv1", _conv(plan, plan.stem, (plan.stem_kernel, 7), plan.stem_separable, stride=2)),
        (
            "conv2",
            seq(
                ("pool", _pool(plan, (1, 3))),
                ("reduce", conv_norm(plan.reduce, eps=EPS)),
                ("out", _conv(plan, plan.conv2, _kernel(plan, 0), plan.separable)),
                *_gate(plan),
            ),
        ),
    ]
    for place, (name, pool) in enumerate(POOLS.items(), start=1):
        kernel, blocks = _kernel(plan, place), plan.blocks[place - 1]
        parts = [(str(n), _block(plan, block, kernel)) for n, block in enumerate(blocks)]
        stages.append((name, seq(("pool", _pool(plan, pool)), *parts)))
    head = seq(
        ("pool", Mean(window=2)), ("dropout", Dropout(dropout)), ("fc", Linear(plan.num_classes))
    )
    return Seq((*stages, ("head", head)))


def _kernel(plan: InceptionPlan, place: int) -> Pair:
    return (3 if plan.volumetric[place] else 1, 3)


def _block(plan: InceptionPlan, widths: Block, kernel: Pair) -> Concat:
    """Four branches; the max-pool spans three frames in a 2D block too, as TF-slim has it."""
    b0, reduce1, b1, reduce2, b2, b3 = widths

    def spatial(inner: int, out: int) -> Seq:
        return seq(
            ("reduce", conv_norm(inner, eps=EPS)),
            ("out", _conv(plan, out, kernel, plan.separable)),
            *_gate(plan),
        )

    return Concat(
        (
            ("b0", seq(("out", conv_norm(b0, eps=EPS)), *_gate(plan))),
            ("b1", spatial(reduce1, b1)),
            ("b2", spatial(reduce2, b2)),
            (
                "b3",
                seq(
                    ("pool", Pool("max", (3, 3), (1, 1), (1, 1))),
                    ("out", conv_norm(b3, eps=EPS)),
                    *_gate(plan),
                ),
            ),
        )
    )


def _conv(plan: InceptionPlan, out: int, kernel: Pair, separable: bool, stride: int = 1) -> Seq:
    """A convolution in one piece, or over space and then ("temporal") over time."""
    padding: Padding = (
        "same" if plan.same and stride > 1 else "half"
    )  # one and the same at stride 1
    t, s = kernel
    if not separable or t == 1:
        return conv_norm(out, kernel, (stride, stride), padding=padding, eps=EPS)
    over_space = conv_norm(out, (1, s), (1, stride), padding=padding, eps=EPS)
    over_time = conv_norm(out, (t, 1), (stride, 1), padding=padding, eps=EPS)
    return Seq((*over_space.parts, ("temporal", over_time)))


def _pool(plan: InceptionPlan, kernel: Pair) -> Pool:
    t, s = kernel
    half = (t - 1) // 2, (s - 1) // 2
    return Pool("max", kernel, (min(t, 2), min(s, 2)), "same" if plan.same else half)


def _gate(plan: InceptionPlan) -> tuple[Named, ...]:
    return (("gate", Gate()),) if plan.gated else ()


def renamings(
    units: Mapping[str, str],
    blocks: Sequence[str],
    branches: Mapping[str, str],
    *,
    conv: str,
    bn: str,
    classifier: str,
) -> tuple[tuple[str, str], ...]:
    """The rules of a `Source` for the published depths: patterns of their names, and ours.

    `units` are the convolutions before the blocks, `blocks` theirs in order, `branches` what is in
    a block; `conv` and `bn` are the parts of one convolution.
    """
    places = [f"{stage}.{n}" for stage, table in BLOCKS.items() for n in range(len(table))]
    pairs = [
        *units.items(),
        *(
            (rf"{block}\.{theirs}", f"{place}.{ours}")
            for block, place in zip(blocks, places, strict=True)
            for theirs, ours in branches.items()
        ),
    ]
    return (
        *(
            (rf"{theirs}\.{kind}\.(.*)", rf"{ours}.{our_kind}.\1")
            for theirs, ours in pairs
            for kind, our_kind in ((conv, "conv"), (bn, "bn"))
        ),
        (rf"{classifier}\.(.*)", r"head.fc.\1"),
    )
