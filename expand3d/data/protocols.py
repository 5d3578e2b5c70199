"""Frames and crops of multi-view tests, as other codebases choose them: they do not agree.

`pyslowfast` spreads the frames of a view over its whole length and takes view i of n at i / n of
the room, so that the last one does not reach the end. `mmaction2` steps by whole frames of the
video, whatever its rate, the last view reaches its end, and a video that is too short begins again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError, DataError, nearest
from expand3d.core.genotype import Plan
from expand3d.data.decode import decode_to, probe, verify
from expand3d.data.video_info import Frame

if TYPE_CHECKING:
    from torch import Tensor


class Rule(Protocol):
    """The frames and the crops of a multi-view test."""

    def frames(
        self, length: int, *, fps: float, target_fps: float, frames: int, stride: int, views: int
    ) -> NDArray[np.intp]:
        """Numbers of frames of the video, views x frames; `length` frames at `fps` are there."""

    def resized(self, height: int, width: int, short_side: int) -> tuple[int, int]:
        """Height and width once the short side has `short_side` pixels."""

    def places(self, height: int, width: int, crop: int, crops: int) -> list[tuple[int, int]]:
        """Top and left of each crop of a resized frame: the centre, or three along it."""


class PySlowFast:
    """Of facebookresearch/SlowFast, with DATA.USE_OFFSET_SAMPLING off and the video read whole."""

    def frames(
        self, length: int, *, fps: float, target_fps: float, frames: int, stride: int, views: int
    ) -> NDArray[np.intp]:
        span = stride * frames / target_fps * fps
        room = max(length - span, 0)
        found = []
        for view in range(views):
            start = room * view / views
            # In single precision, as torch.linspace and torch.clamp give them there.
            spread = _linspace(start, start + span - 1, frames)
            found.append(np.clip(spread, 0, length - 1).astype(np.intp))
        return np.stack(found)

    def resized(self, height: int, width: int, short_side: int) -> tuple[int, int]:
        if height <= width:
            return short_side, math.floor(width / height * short_side)
        return math.floor(height / width * short_side), short_side

    def places(self, height: int, width: int, crop: int, crops: int) -> list[tuple[int, int]]:
        down, right = math.ceil((height - crop) / 2), math.ceil((width - crop) / 2)
        if crops == 1:
            return [(down, right)]
        if height > width:
            return [(0, right), (down, right), (height - crop, right)]
        return [(down, 0), (down, right), (down, width - crop)]


class MMAction2:
    """Of open-mmlab/mmaction2: SampleFrames in test mode without target_fps, ThreeCrop."""

    def frames(
        self, length: int, *, fps: float, target_fps: float, frames: int, stride: int, views: int
    ) -> NDArray[np.intp]:
        room = max(length - ((frames - 1) * stride + 1), 0)
        if frames == 1:
            # Its rule of networks that read one frame: the middles of equal parts.
            starts = np.array([int(length / views * (view + 0.5)) for view in range(views)])
        elif views > 1:
            starts = np.round(np.arange(views) * (room / (views - 1))).astype(np.intp)
        else:
            starts = np.array([room // 2])
        return np.mod(starts[:, None] + stride * np.arange(frames), length)

    def resized(self, height: int, width: int, short_side: int) -> tuple[int, int]:
        scale = short_side / min(height, width)
        return int(height * scale + 0.5), int(width * scale + 0.5)

    def places(self, height: int, width: int, crop: int, crops: int) -> list[tuple[int, int]]:
        down, right = (height - crop) // 2, (width - crop) // 2
        if crops == 1:
            return [(down, right)]
        if crop != min(height, width):
            raise ConfigError(
                f"three crops of mmaction2 are as large as the short side, not {crop}"
            )
        if width > height:
            return [(0, 0), (0, 2 * right), (0, right)]
        return [(0, 0), (2 * down, 0), (down, 0)]


def _linspace(first: float, last: float, count: int) -> NDArray[np.float32]:
    import torch

    found: NDArray[np.float32] = torch.linspace(first, last, count).numpy()
    return found


#: The rule that is no codebase's: views as trainings are tested.
TRAINING = "training"
RULES: dict[str, Rule] = {"pyslowfast": PySlowFast(), "mmaction2": MMAction2()}


def get_rule(name: str) -> Rule:
    """The rule of a codebase; ConfigError names the nearest where there is none."""
    if name not in RULES:
        raise ConfigError(f"unknown views {name!r}{nearest(name, RULES)}")
    return RULES[name]


@dataclass(frozen=True)
class MultiView:
    """A multi-view test: so many views in time, 1 or 3 crops of each, of `crop` pixels."""

    rule: str
    clips: int
    crops: int
    crop: int
    target_fps: float

    @property
    def views(self) -> int:
        """Views of one video."""
        return self.clips * self.crops


def read_views(path: Path, plan: Plan, protocol: MultiView) -> Tensor:
    """The views of a video, uint8 views x T x crop x crop x 3; those of one moment stand together.

    Two passes over the file: how many frames it has decides which are read. ConfigError where the
    network reads more than one clip of frames; DataError where the file cannot be read.
    """
    import torch

    refuse_other_inputs(plan)
    rule = get_rule(protocol.rule)
    fps = probe(path).fps
    length = verify(path).frames_at(fps)
    (inputs,) = plan.inputs
    indices = rule.frames(
        length,
        fps=fps,
        target_fps=protocol.target_fps,
        frames=inputs.frames,
        stride=inputs.stride,
        views=protocol.clips,
    )
    kept = _kept(path, fps, set(indices.ravel().tolist()), rule, protocol.crop)
    views = []
    for row in indices:
        clip = torch.stack([kept[int(index)] for index in row])
        height, width = clip.shape[1:3]
        for top, left in rule.places(height, width, protocol.crop, protocol.crops):
            views.append(clip[:, top : top + protocol.crop, left : left + protocol.crop])
    return torch.stack(views)


def reads_one_clip(plan: Plan) -> bool:
    """True of a network that reads one clip of frames: no flow, stacks or segments."""
    first = plan.inputs[0]
    alone = len(plan.inputs) == 1 and first.segments == 1
    return alone and first.kind == "rgb" and first.reach == 1


def refuse_other_inputs(plan: Plan) -> None:
    """ConfigError where a network reads other than one clip of frames."""
    if not reads_one_clip(plan):
        raise ConfigError(
            f"{plan.family} reads {', '.join(plan.kinds)}: only networks that read one clip of "
            f"frames are tested by another codebase's views; give --views {TRAINING}"
        )


def _kept(path: Path, fps: float, wanted: set[int], rule: Rule, side: int) -> dict[int, Tensor]:
    """The wanted frames of a video by number, H x W x 3, their short side brought to `side`."""
    found: dict[int, Tensor] = {}
    done = 0

    def begin() -> None:
        nonlocal done
        found.clear()
        done = 0

    def take(frame: Frame, times: int) -> None:
        nonlocal done
        here = [number for number in range(done, done + times) if number in wanted]
        done += times
        if here:
            resized = resize(frame, rule, side)
            found.update(dict.fromkeys(here, resized))

    decode_to(path, begin, take, fps=fps, short_side=None)
    lacking = sorted(wanted - found.keys())
    if lacking:
        raise DataError(f"{path}: frame {lacking[0]} is missing")
    return found


def resize(frame: Frame, rule: Rule, side: int) -> Tensor:
    """A frame H x W x 3 whose short side has `side` pixels, bilinear, as bytes."""
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    height, width = frame.shape[:2]
    size = rule.resized(height, width, side)
    if size != (height, width):
        pixels = interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return pixels[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
