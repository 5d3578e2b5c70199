"""The integers of an X3D, which its family resolves and its module is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expand3d.core.genotype import Plan


@dataclass(frozen=True)
class X3DPlan(Plan):
    """X3D's integers; tuples run over the stages res2 to res5."""

    stem: int
    widths: tuple[int, ...]
    inners: tuple[int, ...]
    depths: tuple[int, ...]
    se_widths: tuple[int, ...]
    conv5: int
    lin5: int
    #: False builds pytorchvideo's network, which has no BatchNorm on the first shortcut.
    res2_shortcut_bn: bool

    def to_json(self) -> dict[str, Any]:
        # `asdict` would copy each number: half of a network's cost. A kept digest is none of them.
        return {name: value for name, value in vars(self).items() if name != "digest"}
