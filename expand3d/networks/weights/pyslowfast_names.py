"""PySlowFast's names of our modules."""

from __future__ import annotations

from expand3d.networks.weights.names import Names, source

X3D: Names = {
    "stem.spatial": "s1.pathway0_stem.conv_xy",
    "stem.temporal": "s1.pathway0_stem.conv",
    "stem.bn": "s1.pathway0_stem.bn",
    **{
        f"res{n}.{{j}}.{ours}": f"s{n}.pathway0_res{{j}}.{theirs}"
        for n in (2, 3, 4, 5)
        for ours, theirs in (
            ("shortcut", "branch1"),
            ("shortcut_bn", "branch1_bn"),
            ("expand", "branch2.a"),
            ("expand_bn", "branch2.a_bn"),
            ("channelwise", "branch2.b"),
            ("channelwise_bn", "branch2.b_bn"),
            ("se.squeeze", "branch2.se.fc1"),
            ("se.excite", "branch2.se.fc2"),
            ("project", "branch2.c"),
            ("project_bn", "branch2.c_bn"),
        )
    },
    "head.conv5": "head.conv_5",
    "head.bn": "head.conv_5_bn",
    "head.lin5": "head.lin_5",
    "head.fc": "head.projection",
}

BOTTLENECK = {
    "shortcut.conv": "branch1",
    "shortcut.bn": "branch1_bn",
    "main.conv1.conv": "branch2.a",
    "main.conv1.bn": "branch2.a_bn",
    "main.conv2.conv": "branch2.b",
    "main.conv2.bn": "branch2.b_bn",
    "main.conv3.conv": "branch2.c",
    "main.conv3.bn": "branch2.c_bn",
}

SLOWFAST: Names = {
    **{
        f"stem.{pathway}.conv.{part}": f"s1.pathway{number}_stem.{part}"
        for number, pathway in enumerate(("slow", "fast"))
        for part in ("conv", "bn")
    },
    **{
        f"{stage}.lateral.{ours}": f"s{number}_fuse.{theirs}"
        for number, stage in enumerate(("stem", "res2", "res3", "res4"), start=1)
        for ours, theirs in (("conv", "conv_f2s"), ("bn", "bn"))
    },
    **{
        f"res{n}.{pathway}.{{j}}.{ours}": f"s{n}.pathway{number}_res{{j}}.{theirs}"
        for n in (2, 3, 4, 5)
        for number, pathway in enumerate(("slow", "fast"))
        for ours, theirs in BOTTLENECK.items()
    },
    "head.fc": "head.projection",
}

#: `ResNet`: C2D, I3D, Slow.
RESNET: Names = {
    "stem.conv.conv": "s1.pathway0_stem.conv",
    "stem.conv.bn": "s1.pathway0_stem.bn",
    **{
        f"res{n}.{{j}}.{ours}": f"s{n}.pathway0_res{{j}}.{theirs}"
        for n in (2, 3, 4, 5)
        for ours, theirs in BOTTLENECK.items()
    },
    "head.fc": "head.projection",
}

X3D_SOURCE = source("PySlowFast", X3D, marker="s1.pathway0_stem.conv_xy.weight")
SLOWFAST_SOURCE = source("PySlowFast", SLOWFAST, marker="s1_fuse.conv_f2s.weight")
RESNET_SOURCE = source("PySlowFast", RESNET, marker="s1.pathway0_stem.conv.weight")
