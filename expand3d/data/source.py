"""Sources of data that `--data` may name, and the folders of decoded and generated data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from expand3d.core.files import make_folder, unique_temporary, writing
from expand3d.data.layouts.named import parse_named

#: The data that a study has where none is named.
BUNDLED = "bundled"
#: The beginning of the name of data that is an object of the user's own (`data/arrays.py`).
OWN = "python:"


def cache_root() -> Path:
    """The folder for data that can be made again: EXPAND3D_CACHE, or expand3d in the user's cache.

    The user's cache is XDG_CACHE_HOME, or ~/.cache.
    """
    chosen = os.environ.get("EXPAND3D_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "expand3d"


def flow_root() -> Path:
    """The folder of the clips' optical flow."""
    return cache_root() / "flow"


def resolve_source(
    data: str, root: Path | None = None, *, say: Callable[[str], None] | None = None
) -> Path:
    """The folder or list that `data` names; "bundled" is generated below the cache's root once.

    A folder that is itself called bundled is reached as ./bundled.
    """
    if data != BUNDLED:
        # What names a layout is kept as it is written.
        return Path(data) if parse_named(data) else Path(data).expanduser()
    from expand3d.data.bundled import make as bundled

    home = (root or cache_root()) / f"{BUNDLED}-{bundled.VERSION}"
    with writing(home):
        there = (home / bundled.MANIFEST).is_file()
    if not there:
        if say:
            say(f"generating the bundled clips in {home}")
        _generate(home)
    return home / bundled.MANIFEST


def source_at_hand(data: str) -> Path | None:
    """The folder or list that `data` names; None for bundled clips that are not generated yet."""
    if data != BUNDLED:
        return resolve_source(data)
    from expand3d.data.bundled import make as bundled

    manifest = cache_root() / f"{BUNDLED}-{bundled.VERSION}" / bundled.MANIFEST
    return manifest if manifest.is_file() else None


def place_of(data: str) -> Path:
    """The folder or file where data lies, whether its layout is named or not."""
    named = parse_named(data)
    return named.path if named else Path(data).expanduser()


def absolute(data: str) -> str:
    """The same data, independent of the working folder."""
    named = parse_named(data)
    if named is not None:
        return named._replace(path=named.path.resolve()).text
    return str(Path(data).expanduser().resolve())


def _generate(home: Path) -> None:
    """Make the bundled clips beside `home` and rename them into place, whole or not at all."""
    from expand3d.data.bundled import make as bundled

    make_folder(home.parent)
    making = unique_temporary(home)
    with writing(home):
        making.mkdir()
        try:
            bundled.generate(making)
            try:
                making.rename(home)
            except OSError:
                # Another process was first; what both made is the same.
                if not (home / bundled.MANIFEST).is_file():
                    raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
