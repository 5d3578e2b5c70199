"""Splits: clips that train, clips that choose (validation), clips that never choose (test).

What the manifest says holds; what it leaves open is drawn: seeded, with the classes in proportion,
and whole groups at a time, so that clips of one scene or person never stand on two sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from expand3d.core.errors import DataError, nearest
from expand3d.data.draw import draw, shares_of_classes, units_of
from expand3d.data.draw_by_class import draw_by_class
from expand3d.data.manifest import Manifest

#: How parts are drawn. A record keeps the number, and its study the parts that it began with. By 1
#: free clips did not follow their group, and shares were of the clips that named groups left. By 2
#: every class was rounded by itself, so that of classes with two clips none was drawn.
RULE = 3
#: The parts; a free clip of a group that stands in several joins the first of them.
NAMES = ("train", "val", "test")
#: What it means where all clips of a part are of one class.
ONE_CLASS = {
    "train": "nothing can be learned from it",
    "val": "no network can be chosen by it",
    "test": "its accuracy says nothing",
}


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
    group is unknown or wanted in two parts, a fraction is not within 0 and 1, or so many classes
    have a single clip that a part would be less than half of its fraction.
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
        keep = 1 if "val" in parts else 2
        drawn = _draw(manifest, parts, share, seed=seed, keep=keep, rule=rule)
        parts = ["test" if i in drawn else part for i, part in enumerate(parts)]
        notes += _short("test", len(drawn), share, manifest, parts, rule=rule)
    if "test" not in parts:
        why = "the manifest gives none" if assigned else "too few groups" if test else "not asked"
        notes.append(f"no test part ({why}): no accuracy beyond the choosing can be reported")
    if "val" not in parts:
        rest = sum(part != "test" for part in parts)
        share = val if assigned else val * len(parts) / max(rest, 1)
        if rule == 1 or assigned or test_groups:
            share = min(share, 0.5)
        drawn = _draw(manifest, parts, share, seed=seed + 1, keep=1, rule=rule)
        parts = ["val" if i in drawn else part for i, part in enumerate(parts)]
        notes += _short("val", len(drawn), share, manifest, parts, rule=rule)
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
    units = units_of(indices, groups, seed=seed)
    if not 2 <= k <= len(units):
        raise DataError(f"folds: {k} wanted of {len(units)} groups of clips; 2 to {len(units)} go")
    members: list[list[int]] = [[] for _ in range(k)]
    if all(len(unit) == 1 for unit in units):
        dealt = sorted((labels[unit[0]], place) for place, unit in enumerate(units))
        for number, (_, place) in enumerate(dealt):
            members[number % k] += units[place]
        return [sorted(fold) for fold in members]
    shares = shares_of_classes(units, labels)
    filled = np.zeros((k, shares.shape[1]))
    for number in np.argsort(-shares.sum(axis=1), kind="stable"):
        # The fold whose filling becomes least uneven; among equals the one with fewest clips.
        uneven = ((filled + shares[number]) ** 2 - filled**2).sum(axis=1)
        fold = int(np.lexsort(([len(m) for m in members], np.round(uneven, 9)))[0])
        filled[fold] += shares[number]
        members[fold] += units[number]
    return [sorted(fold) for fold in members]


def _draw(
    manifest: Manifest,
    parts: Sequence[str | None],
    fraction: float,
    *,
    seed: int,
    keep: int,
    rule: int,
) -> set[int]:
    """Clips of about `fraction` of the free ones, as the rule says; `keep` units stay behind."""
    free = [i for i, part in enumerate(parts) if part in (None, "train")]
    labels = [video.label for video in manifest.videos]
    units = units_of(free, [video.group for video in manifest.videos], seed=seed)
    if len(units) <= keep:
        return set()
    how = draw if rule > 2 else draw_by_class
    return how(units, labels, fraction, keep=keep)


def _short(
    name: str,
    drawn: int,
    fraction: float,
    manifest: Manifest,
    parts: Sequence[str | None],
    *,
    rule: int,
) -> list[str]:
    """A note where a part has less than half of its fraction; DataError where no group is why.

    `parts` are those after the draw, `fraction` is of the clips that were free before it.
    """
    free = [i for i, part in enumerate(parts) if part in (None, "train", name)]
    wanted = max(1, round(fraction * len(free)))
    if rule < 3 or 2 * drawn >= wanted or len(free) < 2:
        return []
    short = f"{drawn} of the {wanted} clips that its share asks for"
    if any(manifest.videos[i].group is not None for i in free):
        why = "since groups stay whole; smaller groups would help, or naming those to take"
        return [f"the {name} part has {short}, {why}"] if drawn else []
    lone = sum(number == 1 for number in Counter(manifest.videos[i].label for i in free).values())
    raise DataError(
        f"{manifest.source}: no clip is left to fill the {name} part, which has {short}: every "
        f"class keeps one to train on, and {lone} classes have no other. Give those classes more "
        "clips, leave them out, ask for a smaller share, or name the parts in the list (column "
        "split)"
    )


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


def _lacking(part: str, absent: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Notes on the classes that a part has no clip of: how many, the first, what that means."""
    some = ", ".join(absent[:5])
    if len(absent) > 5:
        some = f"{len(absent)} of the {len(names)} classes: {some}, ..."
    yield f"the {part} part has no clip of {some}"
    if len(absent) == len(names) - 1:
        (alone,) = set(names) - set(absent)
        yield f"WARNING: all clips of the {part} part are of one class, {alone}; {ONE_CLASS[part]}"


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
            notes += _lacking(name, absent, manifest.class_names)
    return Splits(train=held["train"], val=held["val"], test=held["test"], notes=tuple(notes))
