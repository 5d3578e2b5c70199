"""The channels of two networks that are described as layers, followed through both at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from expand3d.networks.layers import describe as L
from expand3d.networks.layers import motion as M
from expand3d.networks.layers import pathways as P
from expand3d.networks.layers import streams as S
from expand3d.networks.remapping.channels import (
    Channels,
    Group,
    Part,
    Space,
    changes,
    repeated,
    untouched_taps,
)


class At(NamedTuple):
    """One place in both networks: the shapes of a clip there, and its channels."""

    old: L.Shape
    new: L.Shape
    space: Space


#: A place, or one in each pathway of networks that have two.
Where = Any
#: Layers behind which the channels are those before it.
FREE = (L.Relu, L.Identity, L.Dropout, L.Pool, L.Mean, S.FrameMean)


def follow(old: Any, new: Any, inputs: tuple[tuple[L.Shape, L.Shape], ...], into: Channels) -> None:
    """Tell `into` all tensors of the networks of two descriptions; `inputs` are their clips."""
    at = tuple(At(a, b, into.inputs(a.channels, b.channels)) for a, b in inputs)
    if isinstance(old, S.Streams):
        for (name, one), (_, two), where in zip(old.streams, new.streams, at, strict=True):
            into.outputs(_layer(one, two, where, name, into).space)
    elif isinstance(old, S.Fused):
        _fused(old, new, at, into)
    else:
        into.outputs(_layer(old, new, at[0], "", into).space)


def _fused(old: S.Fused, new: S.Fused, at: tuple[At, ...], into: Channels) -> None:
    one, two = (
        _layer(a, b, where, name, into)
        for (name, a), (_, b), where in zip(old.towers, new.towers, at, strict=True)
    )
    there = old.fuse.trace((one.old, two.old), "", [])
    here = new.fuse.trace((one.new, two.new), "", [])
    if old.fuse.rule == "concat":
        space = one.space + two.space
    elif old.fuse.rule == "bilinear":
        if changes(one.space):
            raise into.refuse("fuse", "its length is normalised over all products of channels")
        space = (Part(Group(there.channels, here.channels)),)
    else:
        space = into.add("fuse", one.space, two.space)
    into.outputs(_layer(old.head, new.head, At(there, here, space), "head", into).space)
    if old.second_head is not None and new.second_head is not None:
        into.outputs(_layer(old.second_head, new.second_head, two, "second_head", into).space)


def _layer(old: L.Layer, new: L.Layer, x: Where, path: str, into: Channels) -> Where:
    """The place behind a layer of both networks."""
    if type(old) is not type(new):
        kinds = f"{type(old).__name__} there and {type(new).__name__} here"
        raise into.refuse(path, f"it is {kinds}")
    match old, new:
        case L.Seq(), L.Seq():
            return _row(old, new, x, path, into)
        case P.Rates(), P.Rates():
            return tuple(
                At(*shapes, x.space)
                for shapes in zip(old.trace(x.old, "", []), new.trace(x.new, "", []), strict=True)
            )
        case P.Pathways(), P.Pathways():
            return _pathways(old, new, x, path, into)
        case P.Join(), P.Join():
            slow, fast = x
            shapes = (
                old.trace((slow.old, fast.old), "", []),
                new.trace((slow.new, fast.new), "", []),
            )
            return At(*shapes, slow.space + fast.space)
    return At(old.trace(x.old, "", []), new.trace(x.new, "", []), _space(old, new, x, path, into))


def _space(old: L.Layer, new: L.Layer, x: At, path: str, into: Channels) -> Space:
    """The channels behind a layer of one input."""
    match old, new:
        case L.Residual(), L.Residual():
            main = _layer(old.main, new.main, x, f"{path}.main", into)
            short = _layer(old.shortcut, new.shortcut, x, f"{path}.shortcut", into)
            return into.add(path, short.space, main.space)
        case L.Concat(), L.Concat():
            return _concat(old, new, x, path, into)
        case L.Conv(), L.Conv():
            return _conv(old, new, x, path, into)
        case L.Linear(), L.Linear():
            return into.dense(path, x.space, old.out, new.out, bias=old.bias)
        case L.Gate(), L.Gate():
            into.gate(f"{path}.conv", x.space, reads=x.space)
            return x.space
        case L.Norm(), L.Norm():
            into.norm(path, x.space)
            return x.space
        case L.Flatten(), L.Flatten():
            return _side_by_side(x, x.old.positions, x.new.positions, path, into)
        case L.FoldTime(), L.FoldTime():
            return _side_by_side(x, x.old.frames, x.new.frames, path, into)
        case S.FrameNorm(), S.FrameNorm():
            if changes(x.space):
                raise into.refuse(path, "neighbouring channels scale each other")
            return x.space
        case S.Consensus(), S.Consensus():
            if old.rule == "weighted":
                if x.old.frames != x.new.frames:
                    raise into.refuse(path, "it weights each frame")
                into.copied.append(f"{path}.weight")
            return x.space
        case M.MotionNet(), M.MotionNet():
            if old != new:
                raise into.refuse(path, "the network that computes flow has another size")
            into.copied.append(path)
            return (Part(Group(2 * old.pairs, 2 * new.pairs)),)
    if isinstance(old, FREE):
        return x.space
    raise into.refuse(path, f"{type(old).__name__} is followed by no rule")


def _side_by_side(x: At, old: int, new: int, path: str, into: Channels) -> Space:
    """All places of a clip in a row, of which there must be as many in both networks."""
    if old != new:
        raise into.refuse(path, f"it reads {old} places of each channel there and {new} here")
    return repeated(x.space, old)


def _conv(old: L.Conv, new: L.Conv, x: At, path: str, into: Channels) -> Space:
    if old.kernel != new.kernel:
        raise into.refuse(path, f"its kernel is {old.kernel} there and {new.kernel} here")
    taps = _untouched(old, x)
    if old.groups == new.groups == 1:
        return into.dense(path, x.space, old.out, new.out, bias=old.bias, untouched=taps)
    alone = (old.groups, new.groups) == (x.old.channels, x.new.channels) == (old.out, new.out)
    if not alone:
        raise into.refuse(path, f"its channels are mixed in {old.groups} groups")
    return into.channelwise(path, x.space, bias=old.bias, untouched=taps)


def _untouched(conv: L.Conv, x: At) -> tuple[int, ...]:
    """Places of the old network's kernel that only more frames would bring to life."""
    frames, kernel, stride = x.old.frames, conv.kernel[0], conv.stride[0]
    if x.new.frames <= frames:
        return ()
    before = L.pads(conv.kernel, conv.padding)[0]
    if before is None:  # TensorFlow's "same" has more at the end
        before = max(0, (-(-frames // stride) - 1) * stride + kernel - frames) // 2
    positions = conv.trace(x.old, "", []).frames
    return untouched_taps(kernel, frames=frames, stride=stride, before=before, positions=positions)


def _concat(old: L.Concat, new: L.Concat, x: At, path: str, into: Channels) -> Space:
    names = [[name for name, _ in each.branches] for each in (old, new)]
    if names[0] != names[1]:
        raise into.refuse(path, "its branches are others")
    space: Space = ()
    for (name, one), (_, two) in zip(old.branches, new.branches, strict=True):
        space += _layer(one, two, x, f"{path}.{name}", into).space
    return space


def _pathways(
    old: P.Pathways, new: P.Pathways, x: tuple[At, At], path: str, into: Channels
) -> tuple[At, At]:
    slow = _layer(old.slow, new.slow, x[0], f"{path}.slow", into)
    fast = _layer(old.fast, new.fast, x[1], f"{path}.fast", into)
    if old.lateral is not None and new.lateral is not None:
        side = _layer(old.lateral, new.lateral, fast, f"{path}.lateral", into)
        slow = At(_joined(slow.old, side.old), _joined(slow.new, side.new), slow.space + side.space)
    return slow, fast


def _joined(one: L.Shape, two: L.Shape) -> L.Shape:
    return one._replace(channels=one.channels + two.channels)


def _row(old: L.Seq, new: L.Seq, x: Where, path: str, into: Channels) -> Where:
    """Layers in a row, by name: what the old network lacks has to change nothing."""
    there, here = dict(old.parts), dict(new.parts)
    for name, part in old.parts:
        if name not in here and not _passes(part):
            raise into.refuse(f"{path}.{name}", "a layer less changes what the others read")
    for name, part in new.parts:
        inside = f"{path}.{name}" if path else name
        if name in there:
            x = _layer(there[name], part, x, inside, into)
        else:
            x = _added(part, x, inside, into)
    return x


def _added(layer: L.Layer, x: At, path: str, into: Channels) -> At:
    """The place behind a layer of the new network alone, which begins as if it were not there."""
    if isinstance(layer, L.Residual) and _passes(layer):
        into.add_block(path, silent=_last_norm(layer.main, f"{path}.main", into))
        return x
    if isinstance(layer, L.Concat) and _passes(layer):  # behind it stand channels nobody reads
        into.added.append(path)
        behind = layer.trace(x.new, "", [])
        more = Part(Group(0, behind.channels - x.new.channels))
        return At(x.old, behind, (*x.space, more))
    raise into.refuse(path, "a layer more changes what the network computes")


def _passes(layer: L.Layer) -> bool:
    """True where what a layer reads stands behind it too, before anything else."""
    if isinstance(layer, L.Residual):
        return isinstance(layer.shortcut, L.Identity)
    return isinstance(layer, L.Concat) and isinstance(layer.branches[0][1], L.Identity)


def _last_norm(layer: L.Layer, path: str, into: Channels) -> str:
    """The BatchNorm at the very end of a block."""
    if isinstance(layer, L.Norm):
        return path
    if isinstance(layer, L.Seq) and layer.parts:
        name, last = layer.parts[-1]
        return _last_norm(last, f"{path}.{name}", into)
    raise into.refuse(path, "no BatchNorm ends the block")
