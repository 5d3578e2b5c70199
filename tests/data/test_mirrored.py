"""The classes that a mirror exchanges."""

from __future__ import annotations

from expand3d.data.mirrored import exchanged, mirror_note

JESTER = ("Swiping Left", "Swiping Right", "Swiping Up", "Turning Hand Clockwise")


def test_classes_that_name_the_other_side_of_another_class() -> None:
    assert exchanged(JESTER) == ("Swiping Left", "Swiping Right")
    assert exchanged((*JESTER, "Turning Hand Counterclockwise"))[-1].endswith("Counterclockwise")
    assert exchanged(("SwipeLeft", "swipe_right", "x")) == ("SwipeLeft", "swipe_right")
    pushing = "Pushing something from left to right", "Pushing something from right to left"
    assert exchanged(pushing) == pushing


def test_one_side_alone_and_other_words_are_none() -> None:
    assert exchanged(("turn left", "go on", "bright", "brleft")) == ()
    assert mirror_note(("copyright", "copyleft")) == ""
    assert mirror_note(JESTER).startswith("a mirror exchanges 2 classes (such as Swiping Left)")
