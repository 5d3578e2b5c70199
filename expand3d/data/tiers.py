"""Forms of decoded clips: small networks need no large clips on the disk, slow ones few frames.

Which tier of size and which frames a network reads depends on the network and on the videos, never
on what happens to be decoded. All studies have the same tiers, so that those of one data set share
their clips.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from expand3d.core.inputs import Input

#: How tiers and frames are chosen. A record keeps the number, and its study the rule that it began
#: with. Under rule 1 every network reads all frames.
RULE = 2
#: The two smallest tiers in pixels of the short side; the next two are twice as large, and so on.
#: Crops of 112, 160 and 224 pixels that are jittered up to 160/112 read 160, 232 and 320.
SMALLEST = (80, 116)
#: Which frames a clip may keep: every so many-th one, the sparsest first. Few choices, since each
#: that the networks of a study ask for is a decoding of its own.
EVERY = (8, 2, 1)
#: Frames that a clip keeps at least, as a median over the data.
FEWEST = 8
#: Videos up to this tier in pixels keep all frames: their clips are small.
WHOLE = 160


def tier(pixels: float) -> int:
    """The smallest tier in pixels that holds `pixels`, to the nearest whole one."""
    low, high = SMALLEST
    while low < round(pixels):
        low, high = high, 2 * low
    return low


def tiers(smallest: float, largest: float) -> tuple[int, ...]:
    """The tiers in pixels from that of `smallest` to that of `largest`, ascending."""
    found = [tier(smallest)]
    while found[-1] < round(largest):
        found.append(tier(found[-1] + 1))
    return tuple(found)


def sparseness(largest: int, frames: int) -> tuple[int, ...]:
    """The choices of EVERY for videos up to `largest` pixels and of so many frames, by median."""
    if tier(largest) <= WHOLE:
        return (1,)
    return tuple(every for every in EVERY if every == 1 or ceil(frames / every) >= FEWEST)


def enough(inputs: Iterable[Input], choices: Iterable[int]) -> int:
    """The first of `choices`, every so many-th frame, that holds all that these inputs read.

    A single picture may be any frame. Others are a stride apart, and flow and stacks are made of
    frames that follow each other.
    """
    apart = []
    for each in inputs:
        if each.made_of.source != "frames" or each.reach > 1:
            return 1
        if each.frames > 1:
            apart.append(each.stride)
    return next(every for every in choices if not any(stride % every for stride in apart))
