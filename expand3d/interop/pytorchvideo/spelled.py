"""A network as a call of one of pytorchvideo's builders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.interop.spelling import refused

#: Blocks of res2 to res5 by `model_depth`; `create_slowfast` alone knows 18, of one block a stage.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
SLOWFAST_DEPTHS = {18: (1, 1, 1, 1), **DEPTHS}


class Code(str):
    """An argument that is Python's text and no literal."""

    def __repr__(self) -> str:
        return str(self)


#: A mean over all there is, at any crop: ours.
MEAN = Code("torch.nn.AdaptiveAvgPool3d")


@dataclass(frozen=True)
class Spelled:
    """A builder in `pytorchvideo.models`, its keyword arguments, and what integers it makes."""

    module: str
    builder: str
    arguments: Mapping[str, Any]
    integers: Mapping[str, Any]


def compare(builder: str, got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ExportError that names the first field in which a spelling differs from the plan."""
    for field, value in wanted.items():
        if got[field] != value:
            raise refused(builder, field, value, got[field])


def nearest_depth(depths: Mapping[int, tuple[int, ...]], wanted: tuple[int, ...]) -> int:
    """The name of the depths nearest to `wanted`."""

    def apart(depth: int) -> int:
        return sum(abs(a - b) for a, b in zip(depths[depth], wanted, strict=True))

    return min(depths, key=apart)
