"""The clips of each class in the plan of a run, and the classes that have too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from expand3d.data.splits import Splits
from expand3d.data.store import ClipStore

#: Classes that are counted by name, and that a note names.
LISTED, NAMED = 12, 5


def training_clips(store: ClipStore, train: Sequence[int]) -> str:
    """The training clips of each class by name, or the fewest and the most of many."""
    counts = Counter(store.labels[index] for index in train)
    named = {name: counts[label] for label, name in enumerate(store.class_names)}
    if len(named) <= LISTED:
        return ", ".join(f"{name} {count}" for name, count in named.items())
    least, most = (how(named, key=named.__getitem__) for how in (min, max))
    return f"{len(named)} of {named[least]} ({least}) to {named[most]} ({most}) training clips"


def spread(store: ClipStore, train: Sequence[int]) -> str:
    """The fewest and the most training clips of a class, as "3 to 12 train a class"."""
    counts = Counter(store.labels[index] for index in train)
    found = [counts[label] for label in range(len(store.class_names))]
    low, high = min(found), max(found)
    return f"{low if low == high else f'{low} to {high}'} train a class"


def too_few(store: ClipStore, parts: Splits, *, folds: int = 1) -> str | None:
    """A note on classes with fewer clips than parts or folds to split them into, or None."""
    test = int(bool(parts.test))
    ways = folds + test if folds > 1 else 1 + int(bool(parts.val)) + test
    counts = Counter(store.labels)
    few = {
        name: counts[label] for label, name in enumerate(store.class_names) if counts[label] < ways
    }
    if not few:
        return None
    first = ", ".join(f"{name} ({count})" for name, count in list(few.items())[:NAMED])
    more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
    into = f"{folds} folds{' and a test part' if test else ''}" if folds > 1 else f"{ways} parts"
    return f"classes with too few clips to stand in all of the {into}: {first}{more}"
