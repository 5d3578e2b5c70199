"""A package that offers entry points, found as if it were installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest


def offer(
    folder: Path, points: Mapping[str, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put `folder` on the path, with entry points by group, name and `module:NAME`."""
    info = folder / "offered-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    lines = []
    for group, named in points.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in named.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))
