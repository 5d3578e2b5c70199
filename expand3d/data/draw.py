"""The draw of a part: whole units, classes in proportion, and as many clips as its share says."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Shares of a class and gains that differ by less are equal.
_SAME = 1e-12


def units_of(indices: Iterable[int], groups: Sequence[str | None], *, seed: int) -> list[list[int]]:
    """Clips that go together (a group, or one clip without), in an order drawn from the seed."""
    together: dict[Hashable, list[int]] = {}
    for index in indices:
        group = groups[index]
        together.setdefault(("clip", index) if group is None else group, []).append(index)
    units = list(together.values())
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(units))
    return [units[number] for number in order]


def shares_of_classes(units: Sequence[Sequence[int]], labels: Sequence[int]) -> NDArray[np.float64]:
    """Units x classes: the share of each class's clips that a unit holds.

    Shares, not clips: a rare class weighs as much as a frequent one.
    """
    counts = np.zeros((len(units), max(labels) + 1))
    for number, unit in enumerate(units):
        for index in unit:
            counts[number, labels[index]] += 1
    return counts / np.maximum(counts.sum(axis=0), 1)


def draw(
    units: Sequence[Sequence[int]], labels: Sequence[int], fraction: float, *, keep: int
) -> set[int]:
    """Clips of about `fraction` of all that the units hold, one unit at least; `keep` stay behind.

    The units are in random order, more than `keep`. Single clips give the fraction to the clip.
    """
    if all(len(unit) == 1 for unit in units):
        return _draw_clips([unit[0] for unit in units], labels, fraction)
    return {index for number in _chosen(units, labels, fraction, keep) for index in units[number]}


def _chosen(
    units: Sequence[Sequence[int]], labels: Sequence[int], fraction: float, keep: int
) -> list[int]:
    """The places of the units that are taken.

    One by one: of those that bring the number of clips nearer to its due and hold a class that is
    below its own, the one that brings the classes nearest to theirs. The last unit of a class stays
    behind while another can be taken. The first is a lot, so that seeds give different draws.
    """
    shares, sizes = shares_of_classes(units, labels), np.array([len(unit) for unit in units])
    lacking = np.where(shares.sum(axis=0) > 0, fraction, 0.0)
    lack, holders = fraction * sizes.sum(), (shares > 0).sum(axis=0)
    free, taken = np.ones(len(units), dtype=bool), list[int]()
    while len(taken) < len(units) - keep:
        gain = (lacking**2).sum() - ((lacking - shares) ** 2).sum(axis=1)
        spare = free & ~((shares > 0) & (holders == 1)).any(axis=1)
        near = (sizes < 2 * lack) & ((shares > 0) & (lacking > _SAME)).any(axis=1)
        open_to = spare & near
        if not open_to.any():
            open_to = free & near & (gain > _SAME)
        if not open_to.any():
            if taken:
                break
            open_to = spare if spare.any() else free
        helpful = np.flatnonzero(open_to & (gain > _SAME))
        # Units are in random order: the first helpful one is a lot, and so are ties.
        if len(helpful) and not taken:
            best = int(helpful[0])
        else:
            best = int(np.where(open_to, gain, -np.inf).argmax())
        taken.append(best)
        free[best] = False
        lacking, lack = lacking - shares[best], lack - sizes[best]
        holders = holders - (shares[best] > 0)
    return taken


def _draw_clips(clips: Sequence[int], labels: Sequence[int], fraction: float) -> set[int]:
    """The fraction of all clips, rounded, one at least; every class keeps one behind.

    A class gives its own fraction rounded down or up. Up go those of three or more clips that would
    give none, then where most of a clip is left over, of equals by lot. Where classes have none to
    spare, others give more.
    """
    by_class: dict[int, list[int]] = {}
    for clip in clips:
        by_class.setdefault(labels[clip], []).append(clip)
    due = {label: len(members) * fraction for label, members in by_class.items()}
    given = {label: min(int(due[label]), len(by_class[label]) - 1) for label in by_class}
    wanted = max(1, round(len(clips) * fraction))
    while sum(given.values()) < wanted:
        spare = [label for label in by_class if given[label] < len(by_class[label]) - 1]
        if not spare:
            break
        # Classes stand in random order, since their clips do, and a sort keeps it among equals.
        spare.sort(key=lambda label: round(given[label] - due[label], 9))
        spare.sort(key=lambda label: given[label] > 0 or len(by_class[label]) < 3)
        for label in spare[: wanted - sum(given.values())]:
            given[label] += 1
    taken = {clip for label, members in by_class.items() for clip in members[: given[label]]}
    # A single clip may be a class's last: two clips of two classes are parted all the same.
    return taken or set(clips[:1] if wanted == 1 else ())
