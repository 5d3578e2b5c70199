"""X3D's channels, followed through two of its sizes."""

from __future__ import annotations

from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.remapping.channels import Channels, Space, untouched_taps


def follow(old: X3DPlan, new: X3DPlan, into: Channels, *, stem_kernel: int) -> None:
    """Tell `into` all tensors of the two networks, module for module as `x3d_net.py` has them."""
    x = into.dense("stem.spatial", into.inputs(3, 3), old.stem, new.stem)
    into.channelwise("stem.temporal", x, untouched=_taps(stem_kernel, old, new))
    into.norm("stem.bn", x)
    for stage, depth in enumerate(new.depths):
        for block in range(depth):
            path = f"res{stage + 2}.{block}"
            if block < old.depths[stage]:
                x = _block(old, new, stage, block, x, into)
            else:
                into.add_block(path, silent=f"{path}.project_bn")
    x = into.dense("head.conv5", x, old.conv5, new.conv5)
    into.norm("head.bn", x)
    x = into.dense("head.lin5", x, old.lin5, new.lin5)
    x = into.dense("head.fc", x, old.num_classes, new.num_classes, bias=True)
    into.outputs(x)


def _block(old: X3DPlan, new: X3DPlan, stage: int, block: int, x: Space, into: Channels) -> Space:
    path = f"res{stage + 2}.{block}"
    short = x
    if block == 0:
        short = into.dense(f"{path}.shortcut", x, old.widths[stage], new.widths[stage])
        norms = [stage > 0 or plan.res2_shortcut_bn for plan in (old, new)]
        if norms[0] != norms[1]:
            raise into.refuse(f"{path}.shortcut_bn", "only one of the networks has this BatchNorm")
        if norms[0]:
            into.norm(f"{path}.shortcut_bn", short)
    inner = into.dense(f"{path}.expand", x, old.inners[stage], new.inners[stage])
    into.norm(f"{path}.expand_bn", inner)
    into.channelwise(f"{path}.channelwise", inner, untouched=_taps(3, old, new))
    into.norm(f"{path}.channelwise_bn", inner)
    if block % 2 == 0:
        squeezed = into.dense(
            f"{path}.se.squeeze", inner, old.se_widths[stage], new.se_widths[stage], bias=True
        )
        into.gate(f"{path}.se.excite", inner, reads=squeezed, bias=True)
    y = into.dense(f"{path}.project", inner, old.widths[stage], new.widths[stage])
    into.norm(f"{path}.project_bn", y)
    return into.add(path, short, y)


def _taps(kernel: int, old: X3DPlan, new: X3DPlan) -> tuple[int, ...]:
    """Places of a kernel that only more frames would bring to life; none strides over time."""
    if new.frames <= old.frames:
        return ()
    frames = old.frames
    return untouched_taps(kernel, frames=frames, stride=1, before=kernel // 2, positions=frames)
