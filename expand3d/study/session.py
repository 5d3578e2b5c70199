"""The process, machine and versions behind a lock or a part of a run."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

from expand3d.core.version import __version__
from expand3d.study.folder import hide_password

#: Packages whose version can change a number that the record keeps.
PACKAGES = ("torch", "numpy", "av", "optuna")


def versions() -> dict[str, str]:
    """Version by name of expand3d, Python and the packages that numbers depend on."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    # Read once: every trial has them, and each is a file to be parsed.
    found = {"expand3d": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time as ISO text in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Session:
    """One process that drives or drove a study; `stopped` stays None if it was killed."""

    pid: int
    host: str
    started: str
    command: str
    versions: Mapping[str, str]
    stopped: str | None = None
    reason: str | None = None

    @classmethod
    def start(cls) -> Session:
        """This process, from now."""
        command = hide_password(" ".join(sys.argv))
        return cls(os.getpid(), socket.gethostname(), now(), command, versions())

    def stop(self, reason: str) -> Session:
        """The same session, ended now because of `reason`."""
        return replace(self, stopped=now(), reason=reason)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Session:
        """The session that `to_json` wrote; TypeError where a value is of another kind."""
        session = cls(**data)
        texts = [session.host, session.started, session.command]
        texts += [text for text in (session.stopped, session.reason) if text is not None]
        if type(session.pid) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("a session is a process number and texts")
        return session
