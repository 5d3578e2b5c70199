"""Sources whose layout is named: `ucf101:PATH?split=1`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from expand3d.core.errors import DataError, nearest
from expand3d.core.plugins import LAYOUTS

_NAME = re.compile(r"(?P<layout>\w[\w.-]+):(?P<rest>.+)", re.DOTALL)
_OPTIONS = re.compile(r"(?P<path>.*)\?(?P<options>\w+=[^?/&]*(?:&\w+=[^?/&]*)*)", re.DOTALL)


class Named(NamedTuple):
    """A layout by its name, the folder or file in it, and its options."""

    layout: str
    path: Path
    options: Mapping[str, str]

    @property
    def text(self) -> str:
        """The source as it is written."""
        options = "&".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.layout}:{self.path}" + (f"?{options}" if options else "")


def parse_named(source: str) -> Named | None:
    """The layout, path and options of a source; None where it names no layout.

    DataError where the layout has no such option.
    """
    match = _NAME.fullmatch(source)
    if match is None or match["layout"] not in LAYOUTS.everyone():
        return None
    layout, rest = match["layout"], match["rest"]
    options: dict[str, str] = {}
    if asked := _OPTIONS.fullmatch(rest):
        rest = asked["path"]
        options = dict(option.split("=", 1) for option in asked["options"].split("&"))
    known = LAYOUTS.row(layout).options
    for key in options:
        if key not in known:
            hint = nearest(key, known) if known else " (it has none)"
            raise DataError(f"{source}: the layout {layout} has no option {key!r}{hint}")
    return Named(layout, Path(rest).expanduser(), options)


def split_number(text: str, path: Path, *, most: int = 3) -> int:
    """The number of an official split; DataError where there is none of that number."""
    if text not in map(str, range(1, most + 1)):
        raise DataError(f"{path}: split={text}: the official splits are 1 to {most}")
    return int(text)


def frame_rate(text: str, path: Path) -> float:
    """Pictures a second; DataError where it is no number above 0."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:
        raise DataError(f"{path}: fps={text}: a number of pictures a second, above 0")
    return rate
