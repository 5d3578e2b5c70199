"""MMAction2's names of our modules, and the two tensors that have another form there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.core.genotype import Plan
from expand3d.networks.weights.names import Names, renamed, source

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

LIN5 = "cls_head.fc1.weight"
_PARTS = ("conv", "bn")

X3D: Names = {
    "stem.spatial": "backbone.conv1_s.conv",
    "stem.temporal": "backbone.conv1_t.conv",
    "stem.bn": "backbone.conv1_t.bn",
    **{
        f"res{n}.{{j}}.{ours}": f"backbone.layer{n - 1}.{{j}}.{theirs}"
        for n in (2, 3, 4, 5)
        for ours, theirs in (
            ("shortcut", "downsample.conv"),
            ("shortcut_bn", "downsample.bn"),
            ("expand", "conv1.conv"),
            ("expand_bn", "conv1.bn"),
            ("channelwise", "conv2.conv"),
            ("channelwise_bn", "conv2.bn"),
            ("se.squeeze", "se_module.fc1"),
            ("se.excite", "se_module.fc2"),
            ("project", "conv3.conv"),
            ("project_bn", "conv3.bn"),
        )
    },
    "head.conv5": "backbone.conv5.conv",
    "head.bn": "backbone.conv5.bn",
    "head.lin5": "cls_head.fc1",
    "head.fc": "cls_head.fc2",
}


def _resnet(conv2: Mapping[str, str]) -> Names:
    """A 3D or 2D ResNet's modules; `conv2` has ours of a block's second convolution -> theirs."""
    blocks = {
        "shortcut": "downsample",
        "main.conv1": "conv1",
        **{f"main.conv2{ours}": f"conv2{theirs}" for ours, theirs in conv2.items()},
        "main.conv3": "conv3",
    }
    return {
        **{f"stem.conv.{part}": f"backbone.conv1.{part}" for part in _PARTS},
        **{
            f"res{n}.{{j}}.{ours}.{part}": f"backbone.layer{n - 1}.{{j}}.{theirs}.{part}"
            for n in (2, 3, 4, 5)
            for ours, theirs in blocks.items()
            for part in _PARTS
        },
        "head.fc": "cls_head.fc_cls",
    }


RESNET = _resnet({"": ""})
#: CSN: channel-wise alone, and behind a 1x1x1.
REDUCED, PRESERVED = _resnet({"": ".0"}), _resnet({".pointwise": ".0", ".channelwise": ".1"})
C3D: Names = {
    **{
        f"conv{n}.{place}.{part}": f"backbone.conv{n}{letter}.{part}"
        for n in (1, 2, 3, 4, 5)
        for place, letter in enumerate("ab")
        for part in _PARTS
    },
    "head.fc6.linear": "backbone.fc6",
    "head.fc7.linear": "backbone.fc7",
    "head.fc": "cls_head.fc_cls",
}

SLOWFAST: Names = {
    **{
        f"stem.{pathway}.conv.{part}": f"backbone.{pathway}_path.conv1.{part}"
        for pathway in ("slow", "fast")
        for part in _PARTS
    },
    **{
        f"{stage}.lateral.{part}": f"backbone.slow_path.{theirs}_lateral.{part}"
        for stage, theirs in (
            ("stem", "conv1"),
            ("res2", "layer1"),
            ("res3", "layer2"),
            ("res4", "layer3"),
        )
        for part in _PARTS
    },
    **{
        f"res{n}.{pathway}.{{j}}.{ours}.{part}": (
            f"backbone.{pathway}_path.layer{n - 1}.{{j}}.{theirs}.{part}"
        )
        for n in (2, 3, 4, 5)
        for pathway in ("slow", "fast")
        for ours, theirs in (
            ("shortcut", "downsample"),
            ("main.conv1", "conv1"),
            ("main.conv2", "conv2"),
            ("main.conv3", "conv3"),
        )
        for part in _PARTS
    },
    "head.fc": "cls_head.fc_cls",
}


def slowfast_to(state: State, fast: int) -> dict[str, Tensor]:
    """Our SlowFast's weights there: its classifier reads the `fast` channels of Fast first."""
    return _classifier(renamed(state, SLOWFAST), "cls_head.fc_cls.weight", fast)


def x3d_to(state: State) -> dict[str, Tensor]:
    """Our X3D's weights there, where lin5 is a linear layer."""
    found = renamed(state, X3D)
    return found | {LIN5: found[LIN5].flatten(1)}


def _slowfast_from(plan: Plan, state: State) -> dict[str, Tensor]:
    widths: tuple[tuple[int, ...], ...] = plan.widths  # type: ignore[attr-defined]
    return _classifier(state, "head.fc.weight", -widths[1][-1])


def _classifier(state: State, name: str, by: int) -> dict[str, Tensor]:
    """The state dict with the classifier's columns moved round by `by`."""
    found = dict(state)
    if name in found:
        found[name] = found[name].roll(by, 1).contiguous()
    return found


def pictures_to(state: State) -> dict[str, Tensor]:
    """Our weights of a network of pictures there: without time, the classifier a linear layer."""
    found = {n: v.squeeze(2) if v.ndim == 5 else v for n, v in renamed(state, RESNET).items()}
    head = "cls_head.fc_cls.weight"
    return found | {head: found[head].flatten(1)}


def _deep(plan: Plan, state: State) -> dict[str, Tensor]:
    """The axis of time again; `convert` makes a convolution of the classifier."""
    return {name: v.unsqueeze(2) if v.ndim == 4 else v for name, v in state.items()}


#: The eps of CSN's BatchNorms in MMAction2's own configs.
CSN_EPS = 1e-3
RESNET_SOURCE = source("MMAction2", RESNET, marker="backbone.layer1.0.conv2.conv.weight")
TSN_SOURCE = dataclasses.replace(RESNET_SOURCE, turn=_deep)
CSN_SOURCES = tuple(
    dataclasses.replace(source("MMAction2", names, marker=marker), eps=CSN_EPS)
    for names, marker in (
        (PRESERVED, "backbone.layer1.0.conv2.1.conv.weight"),
        (REDUCED, "backbone.layer1.0.conv2.0.conv.weight"),
    )
)
C3D_SOURCE = source("MMAction2", C3D, marker="backbone.conv1a.conv.weight")
X3D_SOURCE = source("MMAction2", X3D, marker="backbone.conv1_s.conv.weight")
SLOWFAST_SOURCE = dataclasses.replace(
    source("MMAction2", SLOWFAST, marker="backbone.fast_path.conv1.conv.weight"),
    turn=_slowfast_from,
)
