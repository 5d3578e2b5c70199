"""Files that torch reads, written so that a full disk is an error like any other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


def save_whole(content: Any, file: Path) -> None:
    """Write what `torch.load` will read; OSError where the disk is full.

    It is made in memory first: torch's own writer of files ends the process there.
    """
    import torch

    made = io.BytesIO()
    torch.save(content, made)
    file.write_bytes(made.getvalue())
