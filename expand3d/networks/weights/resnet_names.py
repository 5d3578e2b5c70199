"""The names of 3D ResNets' weights in torchvision, in terms of `resnet.py`."""

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
