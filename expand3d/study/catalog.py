"""The studies in a folder, one line of facts each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expand3d.core.errors import UserError
from expand3d.study.claims import Claim
from expand3d.study.damaged import reading
from expand3d.study.folder import DEFAULT_ROOT, StudyFolder, study_names
from expand3d.study.lock import holder, place
from expand3d.study.record import Record

StudyState = Literal["new", "running", "finished", "stopped", "killed", "unreadable"]
#: The reason with which a driver stops a session whose study has nothing left to do.
FINISHED = "finished"


@dataclass(frozen=True)
class StudyInfo:
    """One line about a study; `reason` says why it stopped or cannot be read."""

    name: str
    path: Path
    state: StudyState
    reason: str | None = None
    budget: str | None = None
    data: str | None = None
    trials: int = 0
    complete: int = 0
    stopped: int = 0
    started: str | None = None


def state_of(record: Record) -> tuple[StudyState, str | None]:
    """The state of a study and why it is so: running while somebody is at it, else by its end."""
    if holder(record.folder) is not None or elsewhere(record):
        return "running", None
    sessions = record.sessions()
    if not sessions:
        return "new", None
    last = sessions[-1]
    finished = last.reason == FINISHED or any(
        # One worker may find the study finished, and another die before.
        session.reason == FINISHED and (session.stopped or "") > last.started
        for session in sessions
    )
    if finished and (failure := record.last_failure()):  # earlier versions called that finished
        return "stopped", f"the winner's last training failed: {failure}"
    if finished:
        return "finished", FINISHED
    if last.stopped is None:
        return "killed", f"process {last.pid} on {last.host} died"
    return "stopped", last.reason


def elsewhere(record: Record) -> tuple[Claim, ...]:
    """The claims of workers and of a driver that show signs of life, where nobody has the lock."""
    free = place(record.folder) if record.folder.lock.exists() else None
    return tuple(c for c in record.claims.others() if c.place is None or c.place != free)


def list_studies(root: str | Path = DEFAULT_ROOT) -> list[StudyInfo]:
    """Every study whose record lies under `root`, by name; a damaged one is listed as such."""
    return [_info(name, root) for name in study_names(root)]


def _info(name: str, root: str | Path) -> StudyInfo:
    path = StudyFolder(Path(root) / name).path
    try:
        with reading(name):
            record = Record.open(name, root=root)
            return _info_of(record, path)
    except UserError as error:
        return StudyInfo(name, path, "unreadable", str(error))


def _info_of(record: Record, path: Path) -> StudyInfo:
    config, (state, reason) = record.config(), state_of(record)
    trials, sessions = record.trials(), record.sessions()
    return StudyInfo(
        name=record.name,
        path=path,
        state=state,
        reason=reason,
        budget=config.budget.text,
        data=config.data,
        trials=len(trials),
        complete=sum(trial.state == "complete" for trial in trials),
        stopped=sum(trial.state == "stopped" for trial in trials),
        started=sessions[0].started if sessions else None,
    )
