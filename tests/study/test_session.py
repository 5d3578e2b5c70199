from __future__ import annotations

import os
import subprocess
import sys

import pytest

from expand3d.study.session import Session

LIGHT = ("study.catalog", "study.config", "study.encoding", "study.folder", "study.lock")
LIGHT += ("study.record", "study.session", "core.scores", "core.trial")


def test_a_session_names_its_process_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["expand3d", "run", "--storage", "mysql://me:s3cret@host/db", "--study", "birds"]
    monkeypatch.setattr(sys, "argv", words)
    session = Session.start()
    assert session.pid == os.getpid() and session.stopped is None
    assert session.command == "expand3d run --storage mysql://me:***@host/db --study birds"
    ended = session.stop("interrupted")
    assert ended.reason == "interrupted" and ended.stopped is not None
    assert ended.stopped >= session.started
    assert Session.from_json(ended.to_json()) == ended


def test_importing_the_study_layer_loads_nothing_heavy() -> None:
    modules = ", ".join(f"expand3d.{name}" for name in LIGHT)
    heavy = ("torch", "optuna", "sqlalchemy", "numpy", "av", "matplotlib", "ray")
    program = f"import sys, {modules}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
