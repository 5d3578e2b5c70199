"""One driver per study: a file lock that dies with its holder."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType

from expand3d.core.errors import StudyError
from expand3d.core.files import make_folder
from expand3d.core.locks import HeldFile, content, hold, is_held
from expand3d.study.folder import StudyFolder, study_command
from expand3d.study.session import Session

#: A look at a lock (`holder`) takes it for an instant; a driver waits that long and no longer.
PATIENCE_SECONDS = 0.5
#: Two looks at once must not take each other for a driver.
LOOK_SECONDS = 0.1


class StudyLock:
    """Context manager that holds `NAME/lock`; StudyError names the process that holds it already.

    The system frees the lock when the holder dies, however it dies. The file stays: its content
    says who holds the lock, or who did last.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._held: HeldFile | None = None

    def __enter__(self) -> StudyLock:
        make_folder(self._folder.path)
        held = hold(self._folder.lock, patience=PATIENCE_SECONDS)
        if held is None:
            raise StudyError(_refusal(self._folder))
        held.write(json.dumps(Session.start().to_json()))
        self._held = held
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def place(folder: StudyFolder) -> str:
    """The name of this lock among those of all machines; the file must be there."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text().strip() if boot.exists() else socket.gethostname()
    stat = folder.lock.stat()
    return f"{machine}:{stat.st_dev}:{stat.st_ino}"


def holder(folder: StudyFolder) -> Session | None:
    """The process that drives the study now, or None."""
    held = is_held(folder.lock, patience=LOOK_SECONDS)
    return _last_holder(folder.lock) if held else None


def _last_holder(path: Path) -> Session:
    try:
        return Session.from_json(json.loads(content(path)))
    except (ValueError, TypeError):  # caught between its lock and its first line
        return Session(pid=0, host="unknown", started="just now", command="", versions={})


def _refusal(folder: StudyFolder) -> str:
    session = _last_holder(folder.lock)
    return (
        f"study {folder.name!r} is being run by process {session.pid} on {session.host} "
        f"(started {session.started}); stop that one first, or look with: "
        f"{study_command('status', folder.name, root=folder.path.parent)}"
    )
