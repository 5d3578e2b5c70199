"""The draw by which studies began before rule 3: every class rounded by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expand3d.data.draw import shares_of_classes


def draw_by_class(
    units: Sequence[Sequence[int]], labels: Sequence[int], fraction: float, *, keep: int
) -> set[int]:
    """Clips of about `fraction` of each class; the units are in random order, more than `keep`.

    Units are taken one by one, each time the one that brings the classes nearest to their due,
    until none does. The first is taken by lot, so that seeds give different draws.
    """
    if all(len(unit) == 1 for unit in units):
        return _draw_clips([unit[0] for unit in units], labels, fraction)
    shares = shares_of_classes(units, labels)
    lacking = np.where(shares.sum(axis=0) > 0, fraction, 0.0)
    taken: list[int] = []
    while len(taken) < len(units) - keep:
        gain = (lacking**2).sum() - ((lacking - shares) ** 2).sum(axis=1)
        gain[taken] = -np.inf
        helpful = np.flatnonzero(gain > 1e-12)
        if taken and not len(helpful):
            break
        # Units are in random order: the first helpful one is a lot, and so are ties.
        best = int(helpful[0]) if len(helpful) and not taken else int(gain.argmax())
        taken.append(best)
        lacking -= shares[best]
    return {index for number in taken for index in units[number]}


def _draw_clips(clips: Sequence[int], labels: Sequence[int], fraction: float) -> set[int]:
    """The fraction of each class, rounded: one at least where two stay behind, never all."""
    by_class: dict[int, list[int]] = {}
    for clip in clips:
        by_class.setdefault(labels[clip], []).append(clip)
    taken: set[int] = set()
    for members in by_class.values():
        number = max(round(len(members) * fraction), 1 if len(members) > 2 else 0)
        taken.update(members[: min(number, len(members) - 1)])
    return taken or {clips[0]}
