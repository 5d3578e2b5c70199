"""MMAction2's names of our modules, and the two tensors that have another form there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.weights.names import Names, inverse, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan

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


def to_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Our weights under their names; SlowFast's classifier reads the Fast pathway first there."""
    if isinstance(plan, SlowFastPlan):
        found = renamed(state, SLOWFAST)
        weight = found["cls_head.fc_cls.weight"]
        found["cls_head.fc_cls.weight"] = weight.roll(plan.widths[1][-1], 1).contiguous()
        return found
    found = renamed(state, X3D)
    found["cls_head.fc1.weight"] = found["cls_head.fc1.weight"].flatten(1)
    return found


def from_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The inverse of `to_mmaction2`."""
    if isinstance(plan, SlowFastPlan):
        found = renamed(state, inverse(SLOWFAST))
        weight = found["head.fc.weight"]
        found["head.fc.weight"] = weight.roll(-plan.widths[1][-1], 1).contiguous()
        return found
    found = renamed(state, inverse(X3D))
    found["head.lin5.weight"] = found["head.lin5.weight"][:, :, None, None, None]
    return found
