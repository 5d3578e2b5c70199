"""The names of 3D ResNets' weights in torchvision and pytorchvideo, in terms of `resnet.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from expand3d.networks.family import Source

#: Their places in a row of convolution, BatchNorm, ReLU, and our names.
IN_A_ROW = {"0": "conv", "1": "bn"}


def torchvision(stem: Mapping[str, str], convolution: Mapping[str, str]) -> Source:
    """torchvision's VideoResNet with basic blocks.

    Both tables say what a place there is here: `stem` within the stem, `convolution` within the
    row that is one convolution of a block.
    """
    parts = [
        (theirs, ours, table)
        for theirs, ours, table in (
            ("conv1", "main.conv1", convolution),
            ("conv2", "main.conv2", convolution),
            ("downsample", "shortcut", IN_A_ROW),
        )
    ]
    rules = [
        (rf"stem\.{re.escape(place)}\.(.*)", rf"stem.{ours}.\1") for place, ours in stem.items()
    ]
    for number in (1, 2, 3, 4):
        rules += [
            (
                rf"layer{number}\.(\d+)\.{theirs}\.{re.escape(place)}\.(.*)",
                rf"res{number + 1}.\1.{ours}.{kind}.\2",
            )
            for theirs, ours, table in parts
            for place, kind in table.items()
        ]
    first = next(iter(convolution))
    return Source(
        "torchvision",
        marker=rf"layer1\.0\.conv1\.{re.escape(first)}\.weight",
        rules=(*rules, (r"fc\.(.*)", r"head.fc.\1")),
    )


def pytorchvideo_bottleneck(middle: Mapping[str, str] | None = None) -> dict[str, str]:
    """The names here of the parts of pytorchvideo's bottleneck block, by their names there.

    `middle` says what the parts of its second convolution are here.
    """
    second = middle or {"conv_b": "conv", "norm_b": "bn"}
    return {
        "branch1_conv": "shortcut.conv",
        "branch1_norm": "shortcut.bn",
        "branch2.conv_a": "main.conv1.conv",
        "branch2.norm_a": "main.conv1.bn",
        **{f"branch2.{theirs}": f"main.conv2.{ours}" for theirs, ours in second.items()},
        "branch2.conv_c": "main.conv3.conv",
        "branch2.norm_c": "main.conv3.bn",
    }


def pytorchvideo(
    middle: Mapping[str, str] | None = None, *, blocks: tuple[int, ...] = (1, 2, 3, 4)
) -> Source:
    """pytorchvideo's `create_resnet`, `create_csn` and `create_r2plus1d`, of bottleneck blocks.

    `middle` says what the parts of a block's second convolution are here, `blocks` where res2 to
    res5 stand in the list of the network's blocks (the head follows them).
    """
    names = pytorchvideo_bottleneck(middle)
    rules = [(r"blocks\.0\.conv\.(.*)", r"stem.conv.conv.\1")]
    rules += [(r"blocks\.0\.norm\.(.*)", r"stem.conv.bn.\1")]
    for number, block in enumerate(blocks, start=2):
        rules += [
            (
                rf"blocks\.{block}\.res_blocks\.(\d+)\.{re.escape(theirs)}\.([a-z_]+)",
                rf"res{number}.\1.{ours}.\2",
            )
            for theirs, ours in names.items()
        ]
    head = blocks[-1] + 1
    rules += [(rf"blocks\.{head}\.proj\.(.*)", r"head.fc.\1")]
    return Source("pytorchvideo", marker=rf"blocks\.{head}\.proj\.weight", rules=tuple(rules))
