"""The inputs that a network reads of one clip: their kind, frames, stride and size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from expand3d.core.input_kinds import InputKind
from expand3d.core.plugins import INPUTS

RGB = "rgb"


@dataclass(frozen=True)
class Input:
    """One input: `segments` times `frames` pictures of `crop` x `crop` pixels.

    The pictures of a segment are `stride` frames apart at the target frame rate; the segments are
    equal parts of the whole video. `kind` is a row of INPUTS; `stack` consecutive pictures of it
    stand side by side as the channels of one.
    """

    frames: int
    stride: int
    crop: int
    kind: str = RGB
    stack: int = 1
    segments: int = 1

    @property
    def made_of(self) -> InputKind:
        """The kind itself."""
        kind: InputKind = INPUTS.load(self.kind)
        return kind

    @property
    def channels(self) -> int:
        """Channels of one picture: those of its kind, `stack` times."""
        return self.stack * self.made_of.channels

    @property
    def reach(self) -> int:
        """Consecutive pictures of its source that one picture is made of."""
        return self.stack + self.made_of.of - 1

    @property
    def stored_channels(self) -> int:
        """Channels of one picture as a data set gives it, from which `channels` are made."""
        return self.reach * self.made_of.stored

    @property
    def pictures(self) -> int:
        """Pictures of one clip along the time dimension T, all segments together."""
        return self.segments * self.frames

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """C x T x H x W of one clip."""
        return self.channels, self.pictures, self.crop, self.crop

    def at(self, crop: int) -> Input:
        """The same input at another size in pixels, such as a test crop."""
        return dataclasses.replace(self, crop=crop)
