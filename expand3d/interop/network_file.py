"""network.json: the description of one network, as an export writes it and a search may start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expand3d.core.errors import ExportError

FORMAT = "expand3d network"
VERSION = 1
NETWORK = "network.json"


def read_network(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file and what it holds; `path` is the file, or the folder that it lies in.

    Raises ExportError naming the file where it is missing, not such a file, or of a later version.
    """
    path = Path(path)
    file = path / NETWORK if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise ExportError(f"{file} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ExportError(f"{file} is not a network that `expand3d export --to json` wrote")
    if data["version"] > VERSION:
        raise ExportError(
            f"{file} has version {data['version']}; this expand3d reads up to {VERSION}"
        )
    return file, data
