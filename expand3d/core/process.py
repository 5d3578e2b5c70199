"""Processes of our own that are started as `python -m` something."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """The environment in which a child finds the packages that this process has found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
