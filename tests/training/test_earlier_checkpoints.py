"""Checkpoints of earlier versions: a training goes on from them, or says that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expand3d.core.result import Interrupted
from expand3d.training.checkpoint import Checkpointer, load
from tests.training.tasks.test_transfer import after, make_task, run


def rewritten(path: Path, **changes: Any) -> None:
    """The checkpoint with some keys replaced; those that are now None are gone."""
    state, note = load(path, belongs={})
    assert state is not None and not note
    kept = {key: value for key, value in {**state, **changes}.items() if value is not None}
    assert Checkpointer(path, seconds=0).write(kept) is None


def stopped(folder: Path) -> dict[str, Any]:
    """The files of a transfer that was stopped after three steps."""
    with pytest.raises(Interrupted):
        run(make_task(), folder, stop=after(3))
    state, _ = load(folder / "checkpoint", belongs={})
    assert state is not None
    return state


@pytest.mark.slow
def test_a_transfer_goes_on_from_what_kept_its_network_under_another_name(tmp_path: Path) -> None:
    run(make_task(), tmp_path / "whole")
    model = stopped(tmp_path)["model"]
    gone = dict.fromkeys(("model", "epoch", "curve", "seconds", "waited"))
    rewritten(tmp_path / "checkpoint", learning=model, **gone)
    state, _ = load(tmp_path / "checkpoint", belongs={})
    assert state is not None and state.keys() == {
        *("belongs", "environment", "learning", "optimiser", "step", "notes")
    }
    said: list[str] = []
    run(make_task(), tmp_path, say=said.append)
    assert said == ["goes on after step 3 of 6"]
    for name in ("weights", "log"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_transfer_begins_again_where_the_state_is_of_another_version(tmp_path: Path) -> None:
    run(make_task(), tmp_path / "whole")
    stopped(tmp_path)
    rewritten(tmp_path / "checkpoint", model=None)
    said: list[str] = []
    run(make_task(), tmp_path, say=said.append)
    assert said == ["checkpoint checkpoint ignored: of another version ('model')"]
    for name in ("weights", "log"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
