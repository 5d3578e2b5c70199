"""A picture of the data: every class with a few of its clips, each as a strip of frames."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expand3d.core.errors import DataError
from expand3d.core.files import make_folder, write_whole
from expand3d.data.decode import decode, probe
from expand3d.data.layouts.folders import printable
from expand3d.data.manifest import Manifest, Video
from expand3d.data.video_info import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels: one frame's box, the gap between frames, and what captions and class names take.
BOX_WIDTH, BOX_HEIGHT, GAP = 128, 96, 3
CAPTION, NAMES, MARGIN = 44, 130, 14
#: A dollar in a name begins no formula.
PLAIN: Mapping[str, Any] = {"parse_math": False}
PAPER, INK, FAINT = "#ffffff", "#1f2328", "#6a737d"


def contact_sheet(
    manifest: Manifest, out: Path, *, classes: int = 12, clips: int = 2, frames: int = 6
) -> Path:
    """The path of a PNG: a row per class (the first `classes`), `clips` of it, `frames` of each.

    Clips are spread evenly over a class, frames over a clip, in the order of time, with seconds
    below. A clip that cannot be decoded shows why instead.
    """
    for name, value in (("classes", classes), ("clips", clips), ("frames", frames)):
        if value < 1:
            raise DataError(f"{name} {value}: at least 1")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = manifest.class_names[:classes]
    members = [[v for v in manifest.videos if v.label == label] for label in range(len(names))]
    chosen = [_spread(videos, clips) for videos in members]
    strip = frames * (BOX_WIDTH + GAP) - GAP
    columns = max(map(len, chosen))
    width = NAMES + columns * (strip + MARGIN)
    height = len(names) * (BOX_HEIGHT + CAPTION) + MARGIN
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    for row, (name, videos) in enumerate(zip(names, chosen, strict=True)):
        top = height - MARGIN - row * (BOX_HEIGHT + CAPTION)
        at = (top - 18 - BOX_HEIGHT / 2) / height
        title = textwrap.fill(name.replace("_", " "), 14)
        figure.text(
            MARGIN / width, at, title, color=INK, size=10, weight="bold", va="bottom", **PLAIN
        )
        figure.text(
            MARGIN / width, at, f"\n{len(members[row])} clips", color=FAINT, size=8, va="center"
        )
        for column, video in enumerate(videos):
            left = NAMES + column * (strip + MARGIN)
            bottom = top - 18 - BOX_HEIGHT
            axes = figure.add_axes(
                (left / width, bottom / height, strip / width, BOX_HEIGHT / height)
            )
            _draw_clip(axes, video, frames)
    make_folder(out.parent)
    png = io.BytesIO()
    canvas.print_png(png)
    return write_whole(out, png.getvalue())


def _draw_clip(axes: Axes, video: Video, frames: int) -> None:
    """One clip's strip, its name above, the seconds below."""
    axes.set_axis_off()
    try:
        info = probe(video.path)
        fps = frames / info.duration_s
        taken = decode(video.path, fps=fps, short_side=BOX_HEIGHT)
    except DataError as error:
        reason = str(error).removeprefix(f"{video.path}: ")
        axes.set_title(printable(video.key), loc="left", pad=4, fontsize=7, color=FAINT, **PLAIN)
        axes.text(0.0, 0.5, reason, color="#b3261e", size=8, transform=axes.transAxes, **PLAIN)
        return
    at = np.minimum(np.arange(frames), len(taken) - 1)
    axes.imshow(_strip([taken[k] for k in at]), interpolation="none", aspect="auto")
    title = f"{printable(video.key)}   {info.duration_s:.1f} s, {info.width}x{info.height}"
    axes.set_title(title, loc="left", pad=4, fontsize=7, color=FAINT, **PLAIN)
    for k in range(frames):
        middle = k * (BOX_WIDTH + GAP) + BOX_WIDTH / 2
        axes.text(
            middle,
            BOX_HEIGHT + 12,
            f"{k / fps:.1f} s",
            color=FAINT,
            size=6,
            ha="center",
            va="center",
        )


def _strip(frames: Sequence[Frame]) -> Frame:
    """Frames side by side in equal boxes, each as large as its box allows."""
    strip = np.full((BOX_HEIGHT, len(frames) * (BOX_WIDTH + GAP) - GAP, 3), 255, dtype=np.uint8)
    for number, frame in enumerate(frames):
        left = number * (BOX_WIDTH + GAP)
        strip[:, left : left + BOX_WIDTH] = _boxed(frame)
    return strip


def _boxed(frame: Frame) -> Frame:
    """A frame scaled into the box (nearest pixels), on light grey."""
    height, width = frame.shape[:2]
    scale = min(BOX_HEIGHT / height, BOX_WIDTH / width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    rows = (np.arange(high) * height // high).clip(max=height - 1)
    columns = (np.arange(wide) * width // wide).clip(max=width - 1)
    box = np.full((BOX_HEIGHT, BOX_WIDTH, 3), 238, dtype=np.uint8)
    top, left = (BOX_HEIGHT - high) // 2, (BOX_WIDTH - wide) // 2
    box[top : top + high, left : left + wide] = frame[rows][:, columns]
    return box


def _spread(videos: Sequence[Video], count: int) -> list[Video]:
    """`count` of the videos, evenly spaced over their order; all where there are no more."""
    if len(videos) <= count:
        return list(videos)
    return [videos[k * len(videos) // count] for k in range(count)]
