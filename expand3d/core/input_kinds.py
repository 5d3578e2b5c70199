"""The kinds of input that a network may read; INPUTS names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["frames", "flow", "backward", "warped"]


@dataclass(frozen=True)
class InputKind:
    """A kind of picture: its channels as a network reads them, and what of the data it is made of.

    `source` is what the data must hold for it: decoded frames (3 channels), or optical flow between
    them (2): to the later one, back from it, or less the camera's motion (warped). A picture of a
    kind is made of `of` consecutive ones of its source. `signed` is set for vectors: a mirrored
    picture has the first of their two channels negated. `centred` ones are less their mean over the
    picture. `along` samples each field of a stack where the fields before it have carried a pixel.
    `both_ways` takes half of a stack forward from its moment, and half backward.
    """

    channels: int
    source: Source = "frames"
    of: int = 1
    signed: bool = False
    centred: bool = False
    along: bool = False
    both_ways: bool = False

    @property
    def stored(self) -> int:
        """Channels of one picture of the source."""
        return 3 if self.source == "frames" else 2


RGB = InputKind(3)
RGB_DIFFERENCE = InputKind(3, of=2)
FLOW = InputKind(2, source="flow", signed=True)
CENTRED_FLOW = InputKind(2, source="flow", signed=True, centred=True)
TRAJECTORIES = InputKind(2, source="flow", signed=True, centred=True, along=True)
BOTH_WAYS = InputKind(2, source="flow", signed=True, centred=True, both_ways=True)
WARPED_FLOW = InputKind(2, source="warped", signed=True)
