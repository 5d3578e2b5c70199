"""Weights of trainings in a study's folder: kept by key, whole or not at all, pruned by trial."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from expand3d.core.errors import FileError
from expand3d.core.result import TrainingKey
from expand3d.study.folder import StudyFolder
from expand3d.study.weights import WeightStore
from expand3d.training.checkpoint import save_weights

KEYS = (
    TrainingKey(),
    TrainingKey(visits=800),
    TrainingKey(1, 2),
    TrainingKey(part="flow"),
    TrainingKey(1, 2, "rgb", 16),
)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "birds").make()


@pytest.fixture
def store(folder: StudyFolder) -> WeightStore:
    return WeightStore(folder)


def test_every_training_has_its_own_file(store: WeightStore, folder: StudyFolder) -> None:
    assert store.numbers() == () and store.keys(3) == () and store.get(3, KEYS[0]) is None
    for number in (3, 10):
        for place, key in enumerate(KEYS):
            store.put(number, key, f"{number} {place}".encode())
    again = WeightStore(folder)
    assert again.numbers() == (3, 10)
    for number in (3, 10):
        assert set(again.keys(number)) == set(KEYS)
        for place, key in enumerate(KEYS):
            path = again.get(number, key)
            assert path is not None and path.read_bytes() == f"{number} {place}".encode()
    assert len({store.path(n, key) for n in (3, 10) for key in KEYS}) == 2 * len(KEYS)


def test_the_weights_of_a_training_are_written_where_the_store_finds_them(
    store: WeightStore,
) -> None:
    network = torch.nn.Linear(3, 2)
    key = TrainingKey(part="rgb")
    save_weights(network, store.path(0, key))
    assert store.keys(0) == (key,)
    path = store.get(0, key)
    assert path is not None and torch.equal(load_file(path)["weight"], network.weight)


def test_a_write_that_fails_leaves_what_was_there(
    store: WeightStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(0, KEYS[0], b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with (
        monkeypatch.context() as patch,
        pytest.raises(FileError, match=r"0-0\.safetensors.*No space"),
    ):
        patch.setattr("os.fsync", full)
        store.put(0, KEYS[0], b"second")
    with monkeypatch.context() as patch, pytest.raises(FileError):
        patch.setattr("os.fsync", full)
        store.put(1, KEYS[0], b"third")
    path = store.get(0, KEYS[0])
    assert path is not None and path.read_bytes() == b"first"
    assert store.get(1, KEYS[0]) is None and store.numbers() == (0,)


def test_only_the_trials_that_are_asked_for_are_kept(
    store: WeightStore, folder: StudyFolder
) -> None:
    winner = folder.weights / "winner.safetensors"
    winner.write_bytes(b"of the last training")
    for number in range(12):
        store.put(number, KEYS[0], bytes(10))
        store.put(number, KEYS[1], bytes(5))
    # A killed write of trial 2, and something that is not ours.
    left = store.path(2, KEYS[0]).with_name("0-0.safetensors.partial")
    left.write_bytes(bytes(100))
    foreign = folder.weights / "trials" / "notes.txt"
    foreign.touch()
    assert store.keys(2) == (KEYS[0], KEYS[1])
    assert store.prune({1, 11, 99}) == 10 * 15 + 100
    assert store.numbers() == (1, 11)
    assert set(store.keys(11)) == {KEYS[0], KEYS[1]} and not left.exists()
    assert winner.read_bytes() == b"of the last training" and foreign.exists()
    assert store.prune({1, 11}) == 0
    assert store.prune(()) == 30 and store.numbers() == ()
    store.put(2, KEYS[2], b"later")
    assert store.numbers() == (2,)
