"""Trainings that answer at once, in place of real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from expand3d.core.result import Training
from expand3d.run.events import Overview


def train_by(train: Callable[..., Training], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `train` answer in this process; no plan is made, so that no network is timed."""
    monkeypatch.setattr("expand3d.training.tasks.classify.train", train)
    plan = Overview("tiny", (), (), None)
    monkeypatch.setattr("expand3d.run.driver.forecast", lambda *_, **__: plan)
