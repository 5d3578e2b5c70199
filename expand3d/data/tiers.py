"""Sizes of decoded clips in tiers: small networks need no large clips on the disk.

Which tier a network reads depends on its crop and on the size of the videos, never on what happens
to be decoded. All studies have the same tiers, so that those of one data set share their clips.
"""

from __future__ import annotations

#: How tiers are chosen. A record keeps the number, and its study the rule that it began with.
RULE = 1
#: The two smallest tiers in pixels of the short side; the next two are twice as large, and so on.
#: Crops of 112, 160 and 224 pixels that are jittered up to 160/112 read 160, 232 and 320.
SMALLEST = (80, 116)


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
