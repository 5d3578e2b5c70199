"""Checkpoints of one training: written whole or not at all, and never the cause of a failure."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import torch

from expand3d.core import files
from expand3d.core.errors import FileError, WeightsError
from expand3d.training.finite import describe, not_finite

#: Free space that a checkpoint must leave on the disk, in bytes.
SPARE_DISK = 64 * 2**20
#: At the end of an epoch one is written unless writing would take more than 1/20 of the time.
WRITING_SHARE = 20
#: The key of a weight file's header under which it says what trained it.
BELONGS = "belongs"


def written_whole(path: Path) -> AbstractContextManager[IO[bytes]]:
    """A file that takes the name `path` only once all of it is on the disk.

    A training has one writer, and the temporary's fixed name lets `discard` find it.
    """
    return files.written_whole(path, temporary=_partial(path))


def discard(path: Path) -> None:
    """Delete a checkpoint that is no longer needed, and what a killed write left of one."""
    for each in (path, _partial(path)):
        each.unlink(missing_ok=True)


def save_weights(
    model: torch.nn.Module, path: Path, belongs: Mapping[str, str] | None = None
) -> None:
    """Write the network's state dict as safetensors, under the network's own names.

    `belongs` are digests of what trained it, which `belongs_of` reads.
    WeightsError where a number in it is not finite: nobody can use such weights. FileError where
    they cannot be written, which is no matter of the network: a resumed training tries again.
    """
    from safetensors.torch import save

    broken = not_finite(model)
    if broken:
        raise WeightsError(f"{path.name} is not written: {describe(broken)}")

    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    # One value, as safetensors writes several in any order.
    marked = None if belongs is None else {BELONGS: json.dumps(belongs, sort_keys=True)}
    files.make_folder(path.parent)
    with files.writing(path), written_whole(path) as file:
        file.write(save(tensors, marked))


def belongs_of(path: Path) -> dict[str, str]:
    """The digests of what trained the weights in a file; none where it does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, str] = json.loads((file.metadata() or {}).get(BELONGS, "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError):
        return {}
    return found


#: The end of a message about a file that could not be written.
STAYS = "the last good checkpoint stays"


class Checkpointer:
    """Writes the checkpoints of one training; without a path it never does.

    A training that `must` have them raises FileError where one cannot be written; the last good one
    stays.
    """

    def __init__(self, path: Path | None, *, seconds: float, must: bool = False) -> None:
        self.path = path
        self._must = must
        self._seconds = seconds
        self._written = time.monotonic()
        self._cost = 0.0

    def due(self, *, epoch_end: bool) -> bool:
        """True where it is time: an epoch has ended, or `seconds` have passed within one."""
        if self.path is None:
            return False
        since = time.monotonic() - self._written
        return since >= self._seconds or (epoch_end and since >= WRITING_SHARE * self._cost)

    def write(self, state: Mapping[str, Any]) -> str | None:
        """Replace the checkpoint; a note where it could not be written."""
        if self.path is None:
            return None
        started = time.monotonic()
        try:
            note = self._write(self.path, state)
        except (OSError, MemoryError) as error:
            note = f"checkpoint {self.path.name} could not be written: {first_line(error)}"
        if note and self._must:
            raise FileError(f"{self.path.parent}: {note}; {STAYS}")
        self._written = time.monotonic()
        self._cost = self._written - started
        return note

    def _write(self, path: Path, state: Mapping[str, Any]) -> str | None:
        path.parent.mkdir(parents=True, exist_ok=True)
        needed, free = _tensor_bytes(state) + SPARE_DISK, shutil.disk_usage(path.parent).free
        if free < needed:
            return (
                f"checkpoint {path.name} not written: {free // 2**20} MiB are free on its disk, "
                f"{-(-needed // 2**20)} MiB are needed"
            )
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getbuffer()
        with written_whole(path) as file:
            file.write(_checksum(content))
            file.write(content)
        return None


def load(path: Path | None, *, belongs: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The state that was saved for exactly `belongs`, or None and a note that says why not.

    The note is empty where there is simply no checkpoint.
    """
    if path is None or not path.exists():
        return None, ""
    try:
        checksum, content = _split(path.read_bytes())
        if checksum != _checksum(content):
            raise ValueError("its content has changed since it was written")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        of = state["belongs"]
        unknown = [name for name in belongs if name not in of]
        other = [name for name, value in belongs.items() if name in of and of[name] != value]
    except Exception as error:  # whatever is wrong with it, training can begin anew
        return None, f"checkpoint {path.name} ignored: unreadable ({first_line(error)})"
    if other:
        return None, f"checkpoint {path.name} ignored: of another {', '.join(other)}"
    if unknown:
        why = f"of an earlier version, which kept no {', '.join(unknown)}"
        return None, f"checkpoint {path.name} ignored: {why}"
    return state, ""


def exactness_notes(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """One note for each way in which a training continues elsewhere than it began."""
    return [
        f"continued under other {name} ({value}, was {before.get(name)}): not bit for bit"
        for name, value in now.items()
        if before.get(name) != value
    ]


def first_line(error: BaseException) -> str:
    """The error's first line of text, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _checksum(content: bytes | memoryview) -> bytes:
    """32 bytes that stand before the content: torch's format has no check of its tensors."""
    return hashlib.sha256(content).digest()


def _split(file: bytes) -> tuple[bytes, memoryview]:
    length = hashlib.sha256().digest_size
    return file[:length], memoryview(file)[length:]


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _tensor_bytes(value: Any) -> int:
    """Bytes of all tensors inside nested mappings and sequences."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(_tensor_bytes(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_tensor_bytes(each) for each in value)
    return 0
