"""Classes that a mirror exchanges, so that no clip of such data may be mirrored in training."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Words that a mirror exchanges.
_PAIRS = (("left", "right"), ("clockwise", "counterclockwise"), ("leftward", "rightward"))
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_WORDS = re.compile(r"[a-z]+|[^a-z]+")


def exchanged(class_names: Sequence[str]) -> tuple[str, ...]:
    """The classes whose mirrored name is another class, in their order.

    "Swiping Left" is one beside "Swiping Right"; alone it is none.
    """
    known = {_plain(name) for name in class_names}
    mirrored = {name: _mirrored(_plain(name)) for name in class_names}
    return tuple(n for n in class_names if mirrored[n] != _plain(n) and mirrored[n] in known)


def mirror_note(class_names: Sequence[str]) -> str:
    """A line for people where a mirror exchanges classes; else nothing."""
    found = exchanged(class_names)
    if not found:
        return ""
    return f"a mirror exchanges {len(found)} classes (such as {found[0]}), so that none is mirrored"


def _plain(name: str) -> str:
    """A name in small letters, its words parted by single spaces (SwipeLeft, swipe_left)."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.sub(r"[\W_]+", " ", apart.lower()).strip()
    return re.sub(r"(counter |anti ?)clockwise", "counterclockwise", words)


def _mirrored(plain: str) -> str:
    return "".join(_OTHER.get(word, word) for word in _WORDS.findall(plain))
