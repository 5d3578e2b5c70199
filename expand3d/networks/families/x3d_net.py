"""X3D's network in torch, module for module the operators that `x3d.py` costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from expand3d.networks.ops import x3d_block as ops_block
from expand3d.networks.ops.conv import (
    ChannelwiseConv3d,
    FramewiseConv3d,
    is_pointwise,
    never_ours,
    plain,
    pointwise_pair,
)
from expand3d.networks.ops.norm import batch_norm
from expand3d.networks.ops.untouched import untouched, untouched_norm, watched
from expand3d.networks.ops.x3d_block_torch import norm_swish_project

if TYPE_CHECKING:
    from expand3d.networks.families.x3d_plan import X3DPlan


def _pointwise(inputs: int, outputs: int, *, stride: int = 1, bias: bool = False) -> nn.Conv3d:
    return FramewiseConv3d(inputs, outputs, 1, stride=(1, stride, stride), bias=bias)


def _norm_relu(x: Tensor, norm: nn.BatchNorm3d) -> Tensor:
    if ops_block.usable(x, norm) and untouched_norm(x, norm, x.shape[1]):
        return ops_block.norm_relu(x, norm)
    return _relu(batch_norm(x, norm), norm)


def _relu(y: Tensor, norm: nn.Module) -> Tensor:
    """ReLU of what `norm` gave, in its place unless somebody else may have seen that."""
    in_place = type(norm) is nn.BatchNorm3d and not watched(norm)
    return torch.relu_(y) if in_place else torch.relu(y)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from its mean over time and space."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = _pointwise(channels, hidden, bias=True)
        self.excite = _pointwise(hidden, channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=(2, 3, 4), keepdim=True))

    def gate(self, mean: Tensor) -> Tensor:
        return torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))

    def untouched(self, x: Tensor, channels: int) -> bool:
        """True where the two layers are as they were made, for `x` of so many channels."""
        squeeze: Any = self._modules["squeeze"]
        excite: Any = self._modules["excite"]
        return (
            untouched(x, squeeze, FramewiseConv3d)
            and untouched(x, excite, FramewiseConv3d)
            and is_pointwise(squeeze, channels, squeeze.out_channels, bias=True)
            and is_pointwise(excite, squeeze.out_channels, channels, bias=True)
        )


#: What a block's parts are; its BatchNorms apart.
_PARTS: dict[str, tuple[type[nn.Module], ...]] = {
    "shortcut": (nn.Identity, FramewiseConv3d),
    "expand": (FramewiseConv3d,),
    "channelwise": (ChannelwiseConv3d,),
    "se": (nn.Identity, SqueezeExcite),
    "swish": (nn.SiLU,),
    "project": (FramewiseConv3d,),
}


class Bottleneck(nn.Module):
    """1x1x1 expand, channel-wise 3x3x3 (SE in even blocks), Swish, 1x1x1 project, shortcut."""

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        *,
        first: bool,
        se_width: int | None,
        shortcut_bn: bool,
    ) -> None:
        super().__init__()
        stride = 2 if first else 1
        if first:
            self.shortcut: nn.Module = _pointwise(inputs, outputs, stride=2)
            self.shortcut_bn = nn.BatchNorm3d(outputs) if shortcut_bn else nn.Identity()
        else:
            self.shortcut = self.shortcut_bn = nn.Identity()
        self.expand = _pointwise(inputs, inner)
        self.expand_bn = nn.BatchNorm3d(inner)
        self.channelwise = ChannelwiseConv3d(inner, (3, 3, 3), stride=stride)
        self.channelwise_bn = nn.BatchNorm3d(inner)
        self.se = SqueezeExcite(inner, se_width) if se_width else nn.Identity()
        self.swish = nn.SiLU()
        self.project = _pointwise(inner, outputs)
        self.project_bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        untouched = not never_ours(x) and self._untouched(x)
        norms = (self.expand_bn, self.channelwise_bn, self.project_bn)
        if untouched and ops_block.usable(x, *norms):
            return self._compiled(x)
        y = _relu(batch_norm(self.expand(x), self.expand_bn), self.expand_bn)
        y = self.channelwise(y)
        if not untouched or plain(x) or not self.training:
            y = self.project(self.swish(self.se(self.channelwise_bn(y))))
        else:
            gate = self.se.gate if isinstance(self.se, SqueezeExcite) else None
            y = norm_swish_project(y, self.channelwise_bn, gate, self.project.weight)
        y = batch_norm(y, self.project_bn)
        return torch.relu_(self._shortcut(x) + y)

    def _untouched(self, x: Tensor) -> bool:
        """True where loops and fused operators compute what the modules would, called on `x`."""
        parts: Any = self._modules  # read as they are, like all that is asked on every call
        for name, kinds in _PARTS.items():
            if not untouched(x, parts[name], *kinds):
                return False
        expand, project = parts["expand"], parts["project"]
        shortcut, se = parts["shortcut"], parts["se"]
        inputs, inner, outputs = x.shape[1], expand.out_channels, project.out_channels
        return (
            untouched_norm(x, parts["expand_bn"], inner)
            and untouched_norm(x, parts["channelwise_bn"], inner)
            and untouched_norm(x, parts["project_bn"], outputs)
            and is_pointwise(expand, inputs, inner)
            and is_pointwise(project, inner, outputs)
            and parts["channelwise"].is_spatial(inner)
            and (type(se) is nn.Identity or se.untouched(x, inner))
            and (
                type(shortcut) is nn.Identity
                or is_pointwise(shortcut, inputs, outputs, strides=True)
            )
            and (
                untouched(x, parts["shortcut_bn"], nn.Identity)
                or untouched_norm(x, parts["shortcut_bn"], outputs)
            )
        )

    def _compiled(self, x: Tensor) -> Tensor:
        """`forward` by compiled loops."""
        if self.expand_bn.training:  # refused before the first of its BatchNorms has learned
            behind = ops_block.strided_shape(x.shape, self.channelwise.stride[1])
            ops_block.require_batch((behind[0], self.channelwise.in_channels, *behind[2:]))
        expanded, shortcut = self._entry(x)
        gate = self.se if isinstance(self.se, SqueezeExcite) else None
        y = ops_block.inner(
            expanded,
            self.expand_bn,
            self.channelwise,
            self.channelwise_bn,
            gate,
            self.project.weight,
        )
        return ops_block.norm_relu(y, self.project_bn, shortcut)

    def _entry(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two things that a block makes of its input."""
        shortcut, norm = self.shortcut, self.shortcut_bn
        if not isinstance(shortcut, nn.Conv3d):
            return self.expand(x), x
        if isinstance(norm, nn.BatchNorm3d) and not norm.training:
            return self.expand(x), ops_block.pointwise_norm(x, shortcut, norm)
        expanded, y = pointwise_pair(x, self.expand, shortcut)
        return expanded, batch_norm(y, norm)

    def _shortcut(self, x: Tensor) -> Tensor:
        return batch_norm(self.shortcut(x), self.shortcut_bn)


class Stem(nn.Module):
    """conv1: 1x3x3 over space with stride 2, then channel-wise over time."""

    def __init__(self, width: int, temporal_kernel: int) -> None:
        super().__init__()
        self.spatial = FramewiseConv3d(
            3, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False
        )
        self.temporal = ChannelwiseConv3d(width, (temporal_kernel, 1, 1))
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        return _norm_relu(self.temporal(self.spatial(x)), self.bn)


class Head(nn.Module):
    """conv5, global pooling whatever the input's size, lin5, dropout and the classifier."""

    def __init__(self, inputs: int, plan: X3DPlan, dropout: float) -> None:
        super().__init__()
        self.conv5 = _pointwise(inputs, plan.conv5)
        self.bn = nn.BatchNorm3d(plan.conv5)
        self.lin5 = _pointwise(plan.conv5, plan.lin5)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(plan.lin5, plan.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = _norm_relu(self.conv5(x), self.bn).mean(dim=(2, 3, 4), keepdim=True)
        x = torch.relu(self.lin5(x)).flatten(1)
        return self.fc(self.dropout(x))


class X3DNet(nn.Module):
    """Float N x 3 x T x H x W to logits N x num_classes, in train and in eval mode alike."""

    def __init__(self, plan: X3DPlan, *, dropout: float, temporal_kernel: int) -> None:
        super().__init__()
        self.stem = Stem(plan.stem, temporal_kernel)
        width = plan.stem
        for index, depth in enumerate(plan.depths):
            blocks = []
            for block in range(depth):
                blocks.append(
                    Bottleneck(
                        width,
                        plan.inners[index],
                        plan.widths[index],
                        first=block == 0,
                        se_width=plan.se_widths[index] if block % 2 == 0 else None,
                        shortcut_bn=plan.res2_shortcut_bn or index > 0,
                    )
                )
                width = plan.widths[index]
            self.add_module(f"res{index + 2}", nn.Sequential(*blocks))
        self.head = Head(width, plan, dropout)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


def _initialise(module: nn.Module) -> None:
    """He's normal for convolutions, 0.01 for the classifier, each block's last BN at zero."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Bottleneck):
        nn.init.zeros_(module.project_bn.weight)
