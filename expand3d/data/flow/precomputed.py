"""Optical flow that another tool computed, as 8-bit pictures, in the layouts that are in use.

Below the folder each clip has one of its own, named as the clip without its ending, with or without
the folders of its class:

    CLIP/flow_x_00001.jpg, CLIP/flow_y_00001.jpg      denseflow, mmaction2, TSN
    CLIP/x_00001.jpg, CLIP/y_00001.jpg
    CLIP/u/00001.jpg, CLIP/v/00001.jpg
    u/CLIP/frame000001.jpg, v/CLIP/frame000001.jpg    the fusion and two-stream papers' files

A picture's 0 is the bound to the left or up, its 255 the bound to the right or down; 127 and 128
are no motion. Picture t leads from frame t to frame t + distance of the video at its own rate.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.genotype import digest

#: A picture's name: its axis, where the name says it, and its number.
_NAME = re.compile(r"(?:(?:flow_)?([xyuv])_|[A-Za-z_-]*)(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
_AXES = {"x": 0, "u": 0, "y": 1, "v": 1}
#: Clips that an error names.
NAMED = 3
#: The share by which the shape of a picture may differ from the clip's: papers resize to 340 x 256.
STRETCHED = 0.05


@dataclass(frozen=True)
class ClipFlow:
    """The folders with a clip's pictures of x and of y, and the digest of what these hold."""

    across: Path
    down: Path
    identity: str


@dataclass(frozen=True)
class FlowFiles:
    """The flow of clips by their key, below the folder `root`."""

    root: Path
    clips: dict[str, ClipFlow]

    @classmethod
    def find(cls, root: Path, keys: Sequence[str]) -> FlowFiles:
        """The flow of every clip; DataError names those that have none."""
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder of flow")
        found = {key: clip for key in keys if (clip := _clip(root, key)) is not None}
        missing = [key for key in keys if key not in found]
        if missing:
            name = PurePosixPath(missing[0]).with_suffix("")
            raise DataError(
                f"{root}: no flow of {len(missing)} of {len(keys)} clips, such as "
                f"{', '.join(missing[:NAMED])}; looked for {name}/flow_x_00001.jpg, "
                f"{name}/x_00001.jpg, {name}/u/ and u/{name}/"
            )
        return cls(root, found)

    @property
    def identity(self) -> str:
        """16 hex digits of what these files hold, as each clip's."""
        return digest(sorted((key, clip.identity) for key, clip in self.clips.items()))

    def fields(
        self, key: str, *, bound: float, frames: int, shape: tuple[int, int], distance: int
    ) -> list[NDArray[np.float32]]:
        """The fields h x w x 2 of a clip in pixels of the pictures, which the bound scales.

        DataError where the pictures are not as many as the clip's `frames` have fields, or of
        another shape than its height and width.
        """
        clip = self.clips[key]
        across, down = _pictures(clip.across, clip.down)
        _refuse_gaps(clip, across, down)
        wanted = max(1, frames - distance)
        if not wanted <= len(across) <= frames + 1:
            raise DataError(
                f"{clip.across}: {len(across)} pictures of flow, and {key} has {frames} frames at "
                f"the target rate, which makes {wanted}; flow must be of all frames at the rate "
                "that fps says"
            )
        found = []
        size: tuple[int, int] | None = None
        for number in sorted(across)[:wanted]:
            pair = [_read(folder[number]) for folder in (across, down)]
            size = size or pair[0].shape
            for picture, folder in zip(pair, (across, down), strict=True):
                if picture.shape != size:
                    raise DataError(
                        f"{folder[number]}: {picture.shape[1]} x {picture.shape[0]} pixels, and "
                        f"the first of the clip {size[1]} x {size[0]}"
                    )
            found.append(_vectors(np.stack(pair, axis=-1), bound))
        assert size is not None, "there is a picture"
        stretched = (size[1] / size[0]) / (shape[1] / shape[0])
        if not 1 - STRETCHED <= stretched <= 1 + STRETCHED:
            raise DataError(
                f"{clip.across}: pictures of {size[1]} x {size[0]} are not of a clip of "
                f"{shape[1]} x {shape[0]}: cut, or turned"
            )
        return found


def _clip(root: Path, key: str) -> ClipFlow | None:
    path = PurePosixPath(key)
    for name in dict.fromkeys((path.with_suffix(""), path, PurePosixPath(path.stem))):
        for across, down in (
            (root / name, root / name),
            (root / name / "u", root / name / "v"),
            (root / name / "x", root / name / "y"),
            (root / "u" / name, root / "v" / name),
        ):
            both = _pictures(across, down)
            if any(both):
                return ClipFlow(across, down, digest([_told(each) for each in both]))
    return None


def _told(pictures: Mapping[int, Path]) -> list[Any]:
    """The numbers and sizes of pictures, and hashes of three: the whole would take too long."""
    numbers = sorted(pictures)
    some = sorted({numbers[place] for place in (0, len(numbers) // 2, -1)}) if numbers else []
    hashes = [hashlib.sha256(pictures[n].read_bytes()).hexdigest() for n in some]
    return [[[n, pictures[n].stat().st_size] for n in numbers], hashes]


def _pictures(across: Path, down: Path) -> tuple[dict[int, Path], dict[int, Path]]:
    """The pictures of x and of y by number; where one folder has both, names say which they are."""
    found: tuple[dict[int, Path], dict[int, Path]] = ({}, {})
    for axis, folder in enumerate((across, down)):
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is None or (across == down and match[1] is None):
                continue
            if match[1] is None or _AXES[match[1].lower()] == axis:
                found[axis][int(match[2])] = path
    return found


def _refuse_gaps(clip: ClipFlow, across: dict[int, Path], down: dict[int, Path]) -> None:
    """DataError where x and y have other numbers, or one is missing between the first and last."""
    numbers = {*across, *down}
    for number in range(min(numbers), max(numbers) + 1):
        for folder, each, axis in ((clip.across, across, "x"), (clip.down, down, "y")):
            if number not in each:
                raise DataError(f"{folder}: picture {number} of {axis} is missing")


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _vectors(picture: NDArray[np.uint8], bound: float) -> NDArray[np.float32]:
    """Pixels of 8-bit pictures; both values beside the middle, 127.5, are no motion."""
    off = picture.astype(np.float32) - np.float32(127.5)
    off[np.abs(off) <= 0.5] = 0
    return off * np.float32(bound / 127.5)
