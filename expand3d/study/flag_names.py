"""Keys of a study file whose flags have another name."""

from __future__ import annotations

from collections.abc import Mapping

#: Key -> flag, without dashes before it.
RENAMED: Mapping[str, str] = {"name": "study"}
