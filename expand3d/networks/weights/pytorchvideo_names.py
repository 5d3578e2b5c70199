"""pytorchvideo's names of our ResNets' and SlowFast's modules; X3D's are in `x3d_names.py`."""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.networks.family import Source
from expand3d.networks.weights.names import Names, source

#: Our parts of a bottleneck block's second convolution -> theirs.
PLAIN = {"conv": "conv_b", "bn": "norm_b"}
#: The same where it is split into time, then space.
TIME_FIRST = {
    "temporal.conv": "conv_b.conv_t",
    "temporal.bn": "conv_b.norm",
    "spatial.conv": "conv_b.conv_xy",
    "spatial.bn": "norm_b",
}
#: Where res2 to res5 stand in their list of blocks, without and with a pooling behind res2.
IN_A_ROW, POOLED = (1, 2, 3, 4), (1, 3, 4, 5)


def bottleneck(middle: Mapping[str, str] = PLAIN) -> dict[str, str]:
    """Our parts of a bottleneck block -> theirs; `middle` has those of its second convolution."""
    return {
        "shortcut.conv": "branch1_conv",
        "shortcut.bn": "branch1_norm",
        "main.conv1.conv": "branch2.conv_a",
        "main.conv1.bn": "branch2.norm_a",
        **{f"main.conv2.{ours}": f"branch2.{theirs}" for ours, theirs in middle.items()},
        "main.conv3.conv": "branch2.conv_c",
        "main.conv3.bn": "branch2.norm_c",
    }


def resnet(middle: Mapping[str, str] = PLAIN, blocks: tuple[int, ...] = IN_A_ROW) -> Names:
    """The modules of `create_resnet`, `create_csn` and `create_r2plus1d`, of bottleneck blocks."""
    return {
        "stem.conv.conv": "blocks.0.conv",
        "stem.conv.bn": "blocks.0.norm",
        **{
            f"res{number}.{{j}}.{ours}": f"blocks.{block}.res_blocks.{{j}}.{theirs}"
            for number, block in enumerate(blocks, start=2)
            for ours, theirs in bottleneck(middle).items()
        },
        "head.fc": f"blocks.{blocks[-1] + 1}.proj",
    }


def resnet_source(middle: Mapping[str, str] = PLAIN, blocks: tuple[int, ...] = IN_A_ROW) -> Source:
    """The same as a naming that weights are read by; the head's place tells the two apart."""
    marker = f"blocks.{blocks[-1] + 1}.proj.weight"
    return source("pytorchvideo", resnet(middle, blocks), marker=marker)


#: slowfast_r50, slowfast_r101 and slowfast_16x8_r101_50_50.
SLOWFAST: Names = {
    **{
        f"stem.{pathway}.conv.{ours}": f"blocks.0.multipathway_blocks.{number}.{theirs}"
        for number, pathway in enumerate(("slow", "fast"))
        for ours, theirs in (("conv", "conv"), ("bn", "norm"))
    },
    **{
        f"res{stage + 1}.{pathway}.{{j}}.{ours}": (
            f"blocks.{stage}.multipathway_blocks.{number}.res_blocks.{{j}}.{theirs}"
        )
        for stage in (1, 2, 3, 4)
        for number, pathway in enumerate(("slow", "fast"))
        for ours, theirs in bottleneck().items()
    },
    **{
        f"{stage}.lateral.{ours}": f"blocks.{number}.multipathway_fusion.{theirs}"
        for number, stage in enumerate(("stem", "res2", "res3", "res4"))
        for ours, theirs in (("conv", "conv_fast_to_slow"), ("bn", "norm"))
    },
    "head.fc": "blocks.6.proj",
}
SLOWFAST_SOURCE = source(
    "pytorchvideo", SLOWFAST, marker="blocks.0.multipathway_blocks.1.conv.weight"
)
