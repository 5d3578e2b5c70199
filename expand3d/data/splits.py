"""Splits: clips that train, clips that choose (validation), clips that never choose (test).

What the manifest says holds; what it leaves open is drawn: seeded, with the classes in proportion,
and whole groups at a time, so that clips of one scene or person never stand on two sides.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError, nearest
from expand3d.data.manifest import Manifest

#: How parts are drawn. A record keeps the number, and its study the parts that it began with. By 1
#: free clips did not follow their group, and shares were of the clips that named groups left.
RULE = 2
#: The parts; a free clip of a group that stands in several joins the first of them.
NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """Indices into a manifest's videos, ascending and disjoint; `notes` say what a user must know.

    `test` is empty where there is no test part.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def part_of(self) -> dict[int, str]:
        """The name of the part (train, val, test) by index."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {index: name for name, indices in named.items() for index in indices}


def make_splits(
    manifest: Manifest,
    *,
    seed: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    val_groups: Sequence[str] = (),
    test_groups: Sequence[str] = (),
    rule: int = RULE,
) -> Splits:
    """The three parts of a manifest, as it gives them and drawn where it does not.

    - Groups named by `val_groups` and `test_groups` override the manifest.
    - A clip without a word joins its group's part: of several the first of train, val and test.
    - Without any split in the manifest, `test` and `val` are drawn as those fractions of all clips;
      beside named groups at most half of what they leave.
    - With a split but no validation part, `val` is that fraction of the rest, at most half; a test
      part is never drawn from clips that the manifest assigns. Other clips without a word train.

    Raises DataError where a part is impossible: no clip is left to train on or to choose by, a
    group is unknown or wanted in two parts, or a fraction is not within 0 and 1.
    """
    if not 0 < val < 1 or not 0 <= test < 1 or val + test >= 1:
        raise DataError(f"val {val} and test {test}: fractions of all clips, together below 1")
    parts = _given(manifest, val_groups=val_groups, test_groups=test_groups, rule=rule)
    notes: list[str] = []
    assigned = any(video.split is not None for video in manifest.videos)
    if "test" not in parts and not assigned and test:
        share = test
        if rule > 1 and val_groups:
            share = min(test * len(parts) / max(parts.count(None), 1), 0.5)
        drawn = _draw(manifest, parts, share, seed=seed, keep=1 if "val" in parts else 2)
        parts = ["test" if i in drawn else part for i, part in enumerate(parts)]
    if "test" not in parts:
        why = "the manifest gives none" if assigned else "too few groups" if test else "not asked"
        notes.append(f"no test part ({why}): no accuracy beyond the choosing can be reported")
    if "val" not in parts:
        rest = sum(part != "test" for part in parts)
        share = val if assigned else val * len(parts) / max(rest, 1)
        if rule == 1 or assigned or test_groups:
            share = min(share, 0.5)
        drawn = _draw(manifest, parts, share, seed=seed + 1, keep=1)
        parts = ["val" if i in drawn else part for i, part in enumerate(parts)]
    return _collect(manifest, [part or "train" for part in parts], notes, rule=rule)


def folds(
    indices: Sequence[int],
    labels: Sequence[int],
    groups: Sequence[str | None],
    *,
    k: int,
    seed: int,
) -> list[list[int]]:
    """`k` disjoint lists that cover `indices`, each ascending: what each fold holds out.

    `labels` and `groups` are those of the whole manifest. Classes are in proportion; a group stays
    in one fold. Raises DataError where there are fewer groups (or clips) than folds.
    """
    units = _units(indices, groups, seed=seed)
    if not 2 <= k <= len(units):
        raise DataError(f"folds: {k} wanted of {len(units)} groups of clips; 2 to {len(units)} go")
    members: list[list[int]] = [[] for _ in range(k)]
    if all(len(unit) == 1 for unit in units):
        dealt = sorted((labels[unit[0]], place) for place, unit in enumerate(units))
        for number, (_, place) in enumerate(dealt):
            members[number % k] += units[place]
        return [sorted(fold) for fold in members]
    shares = _shares(units, labels)
    filled = np.zeros((k, shares.shape[1]))
    for number in np.argsort(-shares.sum(axis=1), kind="stable"):
        # The fold whose filling becomes least uneven; among equals the one with fewest clips.
        uneven = ((filled + shares[number]) ** 2 - filled**2).sum(axis=1)
        fold = int(np.lexsort(([len(m) for m in members], np.round(uneven, 9)))[0])
        filled[fold] += shares[number]
        members[fold] += units[number]
    return [sorted(fold) for fold in members]


def _units(indices: Iterable[int], groups: Sequence[str | None], *, seed: int) -> list[list[int]]:
    """Clips that go together (a group, or one clip without), in an order drawn from the seed."""
    together: dict[Hashable, list[int]] = {}
    for index in indices:
        group = groups[index]
        together.setdefault(("clip", index) if group is None else group, []).append(index)
    units = list(together.values())
    order = np.random.default_rng([seed, 0x5EED]).permutation(len(units))
    return [units[number] for number in order]


def _shares(units: Sequence[Sequence[int]], labels: Sequence[int]) -> NDArray[np.float64]:
    """Units x classes: the share of each class's clips that a unit holds.

    Shares, not clips: a rare class weighs as much as a frequent one.
    """
    counts = np.zeros((len(units), max(labels) + 1))
    for number, unit in enumerate(units):
        for index in unit:
            counts[number, labels[index]] += 1
    return counts / np.maximum(counts.sum(axis=0), 1)


def _draw(
    manifest: Manifest, parts: Sequence[str | None], fraction: float, *, seed: int, keep: int
) -> set[int]:
    """Clips of about `fraction` of the free ones, classes in proportion; `keep` units stay behind.

    Units are taken one by one, each time the one that brings the classes nearest to their due,
    until none does. The first is taken by lot, so that seeds give different draws.
    """
    free = [i for i, part in enumerate(parts) if part in (None, "train")]
    labels = [video.label for video in manifest.videos]
    units = _units(free, [video.group for video in manifest.videos], seed=seed)
    if len(units) <= keep:
        return set()
    if all(len(unit) == 1 for unit in units):
        return _draw_clips([unit[0] for unit in units], labels, fraction)
    shares = _shares(units, labels)
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


def _given(
    manifest: Manifest, *, val_groups: Sequence[str], test_groups: Sequence[str], rule: int
) -> list[str | None]:
    """The part that manifest, named groups or its own group give each clip; None where free."""
    known = sorted({video.group for video in manifest.videos if video.group is not None})
    wanted: dict[str, str] = {}
    for side, names in (("val", val_groups), ("test", test_groups)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) if known else " (the manifest names no groups)"
                raise DataError(f"{side} groups: unknown group {name!r}{hint}")
            if wanted.setdefault(name, side) != side:
                raise DataError(f"group {name!r} cannot be in the test and the validation part")
    replaced = set(wanted.values())
    parts: list[str | None] = []
    for video in manifest.videos:
        part: str | None = video.split if video.split not in replaced else None
        parts.append(wanted.get(video.group, part) if video.group is not None else part)
    if rule > 1:
        parts = _joined(manifest, parts)
    if "val" in {video.split for video in manifest.videos}:
        return [part or "train" for part in parts]
    return parts


def _joined(manifest: Manifest, parts: Sequence[str | None]) -> list[str | None]:
    """The parts where free clips stand beside the others of their group."""
    sides = _sides(manifest, parts)
    homes = {group: min(found, key=NAMES.index) for group, found in sides.items()}
    groups = [video.group for video in manifest.videos]
    return [
        homes.get(group) if part is None and group is not None else part
        for group, part in zip(groups, parts, strict=True)
    ]


def _sides(manifest: Manifest, parts: Sequence[str | None]) -> dict[str, set[str]]:
    """The parts in which clips of each group stand; a group of free clips is left out."""
    sides: dict[str, set[str]] = {}
    for video, part in zip(manifest.videos, parts, strict=True):
        if video.group is not None and part is not None:
            sides.setdefault(video.group, set()).add(part)
    return sides


def _collect(manifest: Manifest, parts: Sequence[str], notes: list[str], *, rule: int) -> Splits:
    """Indices by part, with a note on each weakness of the split."""
    held: dict[str, tuple[int, ...]] = {
        name: tuple(i for i, part in enumerate(parts) if part == name) for name in NAMES
    }
    for name, purpose in (("train", "train on"), ("val", "choose by")):
        if not held[name]:
            raise DataError(
                f"{manifest.source}: no clip is left to {purpose}; a training and a validation "
                "part need at least two clips (two groups where there are groups)"
            )
    torn = [group for group, found in _sides(manifest, parts).items() if len(found) > 1]
    if torn:
        why = "as the manifest has it" if rule > 1 else "as the study began with them"
        notes.append(f"{len(torn)} groups stand in two parts, {why}: {torn[0]}")
    for name, indices in held.items():
        present = {manifest.videos[i].label for i in indices}
        absent = [c for label, c in enumerate(manifest.class_names) if label not in present]
        if indices and absent:
            notes.append(f"the {name} part has no clip of {', '.join(absent[:5])}")
    return Splits(train=held["train"], val=held["val"], test=held["test"], notes=tuple(notes))
