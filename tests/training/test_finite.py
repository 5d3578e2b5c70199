"""A training is not "ok", and no file of weights is written, with numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from expand3d.core.errors import FileError, WeightsError
from expand3d.training import loop
from expand3d.training.checkpoint import save_weights
from tests.helpers.train_toys import make_plan, make_recipe
from tests.training.test_loop import run


@pytest.mark.parametrize("lr", [1e5, 1e9])
def test_a_learning_rate_far_too_high_is_no_success(lr: float, tmp_path: Path) -> None:
    weights = tmp_path / "w"
    training = run(make_plan(), make_recipe(lr=lr), weights_out=weights)
    assert training.status == "diverged" and training.scores == ()
    assert not weights.exists()


@pytest.mark.parametrize("broken", ["head.fc.weight", "stem.bn.running_var"])
def test_the_last_step_may_not_break_the_weights(
    broken: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """The loss is asked before a step: what the last one breaks, no loss shows."""
    original = loop.Loop._one_step

    def breaking(self: Any, *args: Any) -> None:
        original(self, *args)
        if self.step == self.steps:
            with torch.no_grad():
                self.network.state_dict()[broken].view(-1)[0] = math.inf

    monkeypatch.setattr(loop.Loop, "_one_step", breaking)
    training = run(make_plan(), make_recipe(), weights_out=tmp_path / "w")
    assert training.status == "diverged"
    assert training.reason is not None and broken in training.reason
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_written(value: float, tmp_path: Path) -> None:
    layer, path = nn.Linear(2, 2), tmp_path / "w.safetensors"
    save_weights(layer, path)
    before = path.read_bytes()
    with torch.no_grad():
        layer.bias[1] = value
    with pytest.raises(WeightsError, match=r"w\.safetensors .* 1 tensors .*bias"):
        save_weights(layer, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["file/w", "file/below/w", "dangling/w", "x" * 300])
def test_weights_that_cannot_be_written_are_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(FileError, match=r"cannot be written: [A-Z][a-z ]+$"):
        save_weights(nn.Linear(2, 2), tmp_path / place)
    assert set(tmp_path.rglob("*")) == before


def test_on_a_full_disk_the_weights_of_before_stay(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"before")
    with full_disk(20), pytest.raises(FileError, match="/w cannot be written: File too large"):
        save_weights(nn.Linear(2, 2), path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
