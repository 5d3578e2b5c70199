"""The number of examples that a property is tried on: a quarter where slow tests are left out."""

from __future__ import annotations

from hypothesis import settings


def examples(thorough: int) -> int:
    """The share of `thorough` examples that the loaded profile asks for, of its 100."""
    return max(5, thorough * settings.default.max_examples // 100)
