"""Checkpoints are written whole or not at all, and no state of one breaks a training."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.training import checkpoint
from expand3d.training.checkpoint import Checkpointer, discard, exactness_notes, load, written_whole

BELONGS = {"plan": "abc", "seed": "0"}
STATE = {"belongs": BELONGS, "model": {"weight": torch.arange(5000.0)}, "step": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "trial.pt"


def test_what_was_written_is_read(path: Path) -> None:
    assert Checkpointer(path, seconds=60).write(STATE) is None
    state, note = load(path, belongs=BELONGS)
    assert note == "" and state is not None and state["step"] == 3
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
    assert list(path.parent.iterdir()) == [path]


def test_no_checkpoint_is_no_news(path: Path) -> None:
    assert load(path, belongs=BELONGS) == (None, "")
    assert load(None, belongs=BELONGS) == (None, "")
    writer = Checkpointer(None, seconds=0)
    assert not writer.due(epoch_end=True) and writer.write(STATE) is None


def test_a_checkpoint_of_another_training_is_ignored_by_name(path: Path) -> None:
    Checkpointer(path, seconds=60).write(STATE)
    state, note = load(path, belongs={"plan": "abd", "seed": "1"})
    assert state is None and note == "checkpoint trial.pt ignored: of another plan, seed"


def test_a_checkpoint_from_before_something_was_kept_says_so(path: Path) -> None:
    Checkpointer(path, seconds=60).write(STATE)
    state, note = load(path, belongs={**BELONGS, "weather": "fair"})
    assert state is None
    assert note == "checkpoint trial.pt ignored: of an earlier version, which kept no weather"


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text", "other", "folder"])
def test_damaged_files_are_ignored_with_a_note(path: Path, damage: str) -> None:
    Checkpointer(path, seconds=60).write(STATE)
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other":
        buffer = io.BytesIO()
        torch.save([1, 2, 3], buffer)
        path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(
            {
                "truncated": content[:middle],
                "empty": b"",
                "flipped": flipped,
                "text": b"hello",
            }[damage]
        )
    state, note = load(path, belongs=BELONGS)
    assert state is None and note.startswith("checkpoint trial.pt ignored: unreadable (")
    assert "\n" not in note


def test_an_interrupted_write_leaves_the_old_content(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_a_note(path: Path, monkeypatch: Any) -> None:
    usage = namedtuple("usage", "total used free")(100, 90, 10 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    note = Checkpointer(path, seconds=60).write(STATE)
    assert note is not None and "10 MiB are free on its disk, 65 MiB are needed" in note
    assert not path.exists()


def test_a_failing_write_is_a_note_and_keeps_the_old_checkpoint(
    path: Path, monkeypatch: Any
) -> None:
    writer = Checkpointer(path, seconds=60)
    writer.write(STATE)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    note = writer.write({**STATE, "step": 4})
    assert note is not None and "No space left on device" in note
    state, _ = load(path, belongs=BELONGS)
    assert state is not None and state["step"] == 3


def test_it_is_time_at_epochs_and_in_long_ones(path: Path, monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    writer = Checkpointer(path, seconds=120)
    assert writer.due(epoch_end=True) and not writer.due(epoch_end=False)
    now[0] += 120
    assert writer.due(epoch_end=False)

    def slow(*_: Any) -> None:
        now[0] += 2

    monkeypatch.setattr(checkpoint.torch, "save", slow)
    writer.write(STATE)
    now[0] += 39  # 2 seconds of writing are worth it every 40
    assert not writer.due(epoch_end=True)
    now[0] += 1
    assert writer.due(epoch_end=True)


def test_discarding_removes_what_a_killed_write_left_too(path: Path) -> None:
    Checkpointer(path, seconds=60).write(STATE)
    path.with_name("trial.pt.partial").write_bytes(b"torn")
    discard(path)
    discard(path)
    assert list(path.parent.iterdir()) == []


def test_each_changed_circumstance_is_named() -> None:
    before = {"threads": 1, "torch": "2.13", "layout": "contiguous"}
    now = {"threads": 2, "torch": "2.13", "layout": "contiguous"}
    assert exactness_notes(now, before) == [
        "continued under other threads (2, was 1): not bit for bit"
    ]
    assert exactness_notes(now, now) == []
