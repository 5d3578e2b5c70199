"""Small moving pictures of a study's clips, where the clips are at hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from expand3d.core.errors import DataError, UserError
from expand3d.data.decode import decode, probe
from expand3d.data.hashes import sha256
from expand3d.data.manifest import Video, load_manifest
from expand3d.data.moved import KEPT_DIGITS
from expand3d.data.source import OWN, source_at_hand
from expand3d.report.study.view import StudyView

#: Frames of a picture, and the pixels of each.
FRAMES, WIDTH, HEIGHT = 6, 96, 72
QUALITY = 55


class Thumbnails:
    """Pictures of the clips of one study, each made once.

    A picture is a strip of FRAMES frames side by side. A clip whose content is not the record's
    has none.
    """

    def __init__(self, view: StudyView) -> None:
        self._config = view.config
        self._hashes: Mapping[str, str] = view.clips
        self._made: dict[str, str | None] = {}

    @property
    def absent(self) -> str | None:
        """One line: why there are no pictures; None where there may be some."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[Mapping[str, Video], str | None]:
        """The videos by key, and the reason where there are none."""
        config = self._config
        if config is None or config.data.startswith(OWN):
            return {}, "the clips are not files"
        try:
            source = source_at_hand(config.data)
            if source is None:
                return {}, f"the clips of {config.data} are not on this machine"
            prefix = None if config.prefix is None else Path(config.prefix)
            manifest = load_manifest(source, prefix=prefix, val=config.val_data)
        except (UserError, OSError) as error:
            return {}, f"the clips are not at hand ({error})"
        known = {v.key: v for v in manifest.videos if v.key in self._hashes}
        return known, None if known else f"{config.data} holds no clip of this study any more"

    def picture(self, key: str) -> str | None:
        """A data URI of a JPEG; None where there is none of that clip."""
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]

    def _make(self, key: str) -> str | None:
        video = self._found[0].get(key)
        if video is None:
            return None
        try:
            if sha256(video.path)[:KEPT_DIGITS] != self._hashes[key]:
                return None
            return _strip(video)
        except (DataError, OSError):
            return None


def _strip(video: Video) -> str:
    """FRAMES frames, spread over the video and cut to equal boxes, as a data URI."""
    from PIL import Image, ImageOps

    info = probe(video.path)
    fps = FRAMES / max(info.duration_s, 1e-3)
    taken = decode(video.path, fps=fps, short_side=HEIGHT)
    at = np.minimum(np.arange(FRAMES), len(taken) - 1)
    strip = Image.new("RGB", (FRAMES * WIDTH, HEIGHT))
    for place, number in enumerate(at):
        frame = ImageOps.fit(Image.fromarray(taken[number]), (WIDTH, HEIGHT))
        strip.paste(frame, (place * WIDTH, 0))
    jpeg = io.BytesIO()
    strip.save(jpeg, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
