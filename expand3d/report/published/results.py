"""Kinetics-400 accuracy against cost as printed, and what makes two printed numbers incomparable.

published.csv beside this module holds a row per printed result, with its source. Its conventions:
`gmacs` is what the source prints as GFLOPs, which is billions of multiply-adds of ONE view in every
figure that was re-counted, optical flow never included; `views` are clips x crops, and a whole
inference costs gmacs x views; `top1` is video-level (scores of all views averaged), in percent.
`crop_printed` is given where a source prints another crop than the one its cost was counted at.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from expand3d.core.errors import ConfigError, nearest

#: Pretraining -> how it is said; what is not here is larger than ImageNet and called by its name.
_PRETRAININGS = {"none": "from scratch", "ImageNet": "ImageNet-pretrained"}


@dataclass(frozen=True)
class Result:
    """One printed result; None where the source does not say (column meanings: see the module)."""

    family: str
    variant: str
    role: str  # model, ablation, or unconfirmed (accuracy not checked against the source)
    input: str  # rgb, flow, rgb+flow
    frames: int
    sampling: str  # frame stride, or how frames are spread over the video
    crop_printed: int | None
    crop_counted: int | None  # the side at which gmacs was counted
    crop_tested: int | None  # the side at which top1 was measured
    gmacs: float | None
    counting: str  # multiply-adds (re-counted, equal), with BatchNorm etc., as printed, counted
    params_m: float | None
    protocol: str  # clips x crops, or words where they cannot be numbered
    views: int | None
    pretraining: str
    split: str
    top1: float
    source: str
    note: str

    def cost(self, kind: str) -> float | None:
        """GMACs of one view (`view`) or of all views together (`total`), where printed."""
        if kind == "view" or self.gmacs is None:
            return self.gmacs
        return self.gmacs * self.views if self.views else None

    @property
    def understated(self) -> bool:
        """True where the true cost is higher: flow is uncounted, or a smaller crop was counted."""
        counted, tested = self.crop_counted or 0, self.crop_tested or 0
        return self.input != "rgb" or 0 < counted < tested


def load_published(families: Iterable[str] = ()) -> tuple[Result, ...]:
    """Every printed result in the file's order, or those of `families` (any case).

    ConfigError names the nearest family where one is unknown.
    """
    text = (files("expand3d.report.published") / "published.csv").read_text(encoding="utf-8")
    results = tuple(_result(row) for row in csv.DictReader(text.splitlines()))
    names = {result.family.lower(): result.family for result in results}
    for name in (wanted := [name.strip().lower() for name in families]):
        if name not in names:
            raise ConfigError(f"--families: no published {name!r}{nearest(name, names)}")
    return tuple(result for result in results if not wanted or result.family.lower() in wanted)


def _result(row: dict[str, str]) -> Result:
    whole = ("crop_printed", "crop_counted", "crop_tested", "views")
    numbers: dict[str, Any] = {key: int(row[key]) if row[key] else None for key in whole}
    numbers |= {key: float(row[key]) if row[key] else None for key in ("gmacs", "params_m")}
    return Result(**{**row, **numbers, "frames": int(row["frames"]), "top1": float(row["top1"])})


def reference(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results that others are compared with: those of the first family in the file."""
    return tuple(result for result in results if result.family == results[0].family)


def differences(result: Result, peers: Iterable[Result]) -> tuple[str, ...]:
    """The respects that make `result` unlike all `peers`, in a fixed order; () is fair.

    views and pretraining differ where no peer shares them; crop where the printed cost was counted
    at another crop than the accuracy was measured at, or the source does not say; optical flow
    where the network reads it, as its cost is never counted; split where no peer's top1 is of it.
    """
    peers = tuple(peers)
    unfair = {
        "views": result.protocol not in {peer.protocol for peer in peers},
        "pretraining": result.pretraining not in {peer.pretraining for peer in peers},
        "crop": bool(_crop_fault(result)),
        "optical flow": result.input != "rgb",
        "split": result.split not in {peer.split for peer in peers},
    }
    return tuple(what for what, is_unfair in unfair.items() if is_unfair)


def _crop_fault(result: Result) -> str:
    """The fault between the crops of a printed cost and of its accuracy; empty if there is none."""
    if result.gmacs is None:
        return ""
    if result.crop_counted is None or result.crop_tested is None:
        return "crop not stated"
    if result.crop_counted == result.crop_tested:
        return ""
    smaller = result.crop_counted < result.crop_tested
    return f"counted at a {'smaller' if smaller else 'larger'} crop than tested"


def group(result: Result) -> str:
    """The comparison group: only results with the same text may be ranked by cost and accuracy."""
    parts = [protocol_text(result.protocol), pretraining_text(result.pretraining)]
    if fault := _crop_fault(result):
        parts.append(fault)
    if result.input != "rgb":
        parts.append(f"{result.input}, flow not counted")
    if result.split != "validation":
        parts.append(f"{result.split} set")
    return "; ".join(parts)


def protocol_text(protocol: str) -> str:
    """A test protocol in words: 10x3 is '10 clips x 3 crops'."""
    clips, cross, crops = protocol.partition("x")
    if not (cross and clips.isdigit() and crops.isdigit()):
        return f"{protocol} views" if protocol else "views not stated"
    numbers = ((clips, "clip"), (crops, "crop"))
    return " x ".join(f"{n} {what}{'s' if n != '1' else ''}" for n, what in numbers)


def pretraining_text(pretraining: str) -> str:
    """Pretraining in words."""
    return _PRETRAININGS.get(pretraining, f"{pretraining}-pretrained")


def not_drawn(result: Result, cost: str) -> str:
    """The reason why the picture against `cost` leaves `result` out; empty where it does not."""
    if result.role == "ablation":
        return "an ablation"
    if result.role == "unconfirmed":
        return "accuracy not confirmed"
    if result.split != "validation":
        return f"accuracy on the {result.split} set"
    if result.gmacs is None:
        return "no cost printed"
    return "" if result.cost(cost) else "number of views not stated"


def published_rows(results: Iterable[Result], *, cost: str = "total") -> list[dict[str, Any]]:
    """A mapping per result: its columns, the total cost, and the marks of unfair comparison.

    `gmacs_per_view` and `gmacs_total` are billions of multiply-adds, `params_m` millions, `top1`
    percent; `differs_from_reference` says in what, against the `reference` family; `not_drawn`
    is why the picture against `cost` leaves it out. None stands for what is not printed.
    """
    peers = reference(load_published())
    rows = []
    for result in results:
        row = {**vars(result)}
        total = result.cost("total")
        costs = {"gmacs_per_view": row.pop("gmacs"), "gmacs_total": total and round(total, 6)}
        last = {key: row.pop(key) for key in ("source", "note")}
        marks = {
            "group": group(result),
            "reference": peers[0].family,
            "differs_from_reference": ", ".join(differences(result, peers)),
            "not_drawn": not_drawn(result, cost),
        }
        rows.append(row | costs | marks | last)
    return rows
