"""The names of X3D's weights in other codebases, in terms of `x3d_net.py`; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from expand3d.networks.family import Source
from expand3d.networks.weights.mmaction2_names import X3D_SOURCE as MMACTION2
from expand3d.networks.weights.pyslowfast_names import X3D_SOURCE as PYSLOWFAST

#: Our module -> pytorchvideo's. Its stem names its spatial convolution conv_t and the temporal
#: one conv_xy.
ENDS = {
    "stem.spatial": "blocks.0.conv.conv_t",
    "stem.temporal": "blocks.0.conv.conv_xy",
    "stem.bn": "blocks.0.norm",
    "head.conv5": "blocks.5.pool.pre_conv",
    "head.bn": "blocks.5.pool.pre_norm",
    "head.lin5": "blocks.5.pool.post_conv",
    "head.fc": "blocks.5.proj",
}
BLOCK = {
    "shortcut": "branch1_conv",
    "shortcut_bn": "branch1_norm",
    "expand": "branch2.conv_a",
    "expand_bn": "branch2.norm_a",
    "channelwise": "branch2.conv_b",
    "channelwise_bn": "branch2.norm_b.0",
    "se.squeeze": "branch2.norm_b.1.block.0",
    "se.excite": "branch2.norm_b.1.block.2",
    "project": "branch2.conv_c",
    "project_bn": "branch2.norm_c",
}
#: The stages res2 to res5 by their number in either codebase.
STAGES = (2, 3, 4, 5)


def _source(
    codebase: str,
    marker: str,
    ends: Mapping[str, str],
    block: Mapping[str, str],
    place: Mapping[int, str],
    absent: tuple[str, ...] = (),
) -> Source:
    """A codebase's names; `place` is by stage the pattern of a block's name, with its number."""
    rules = [(rf"{re.escape(theirs)}\.([a-z_]+)", rf"{ours}.\1") for ours, theirs in ends.items()]
    rules += [
        (rf"{place[stage]}\.{re.escape(theirs)}\.([a-z_]+)", rf"res{stage}.\1.{ours}.\2")
        for stage in STAGES
        for ours, theirs in block.items()
    ]
    return Source(codebase, marker=marker, rules=tuple(rules), absent=absent)


#: It has no BatchNorm on the shortcut of res2, where the widths agree.
PYTORCHVIDEO = _source(
    "pytorchvideo",
    r"blocks\.5\.pool\.pre_conv\.weight",
    ENDS,
    BLOCK,
    {stage: rf"blocks\.{stage - 1}\.res_blocks\.(\d+)" for stage in STAGES},
    absent=("res2.0.shortcut_bn",),
)
SOURCES = (PYTORCHVIDEO, PYSLOWFAST, MMACTION2)
