"""Systems that lack what Linux has: nothing of ours fails at import, or when it asks the system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from expand3d.core.process import cores, memory_here
from expand3d.training.peak_memory import PeakMemory
from tests.test_architecture import modules

#: Modules of the standard library that Windows does not have.
ABSENT = (
    *("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "spwd", "crypt"),
    *("posix", "readline", "curses"),
)
#: Packages that a module of ours may need and an installation may lack.
OPTIONAL = ("triton",)
PROGRAM = """
import builtins, importlib, sys

def without(name, globals=None, *rest, known=builtins.__import__):
    asked = (globals or {}).get("__name__") or ""
    if asked.split(".")[0] == "expand3d" and name.split(".")[0] in ABSENT:
        raise ModuleNotFoundError(f"No module named {name!r}, which {asked} imports")
    return known(name, globals, *rest)

builtins.__import__ = without
for name in MODULES:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in OPTIONAL:
            raise
print(len(MODULES), "imported")
"""


def test_every_module_can_be_imported_without_what_windows_lacks() -> None:
    names = ["expand3d" if name == "__init__" else f"expand3d.{name}" for name in modules()]
    names = [name for name in names if not name.endswith("__main__")]
    program = f"ABSENT, OPTIONAL, MODULES = {ABSENT!r}, {OPTIONAL!r}, {names!r}\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith(f"{len(names)} imported\n"), done.stderr


def test_what_the_test_blocks_is_seen() -> None:
    program = PROGRAM.replace("MODULES:", "():").replace("len(MODULES)", "0")
    asks = 'exec("import fcntl", {"__name__": "expand3d.study.lock"})'
    done = subprocess.run(
        [sys.executable, "-c", f"ABSENT = {ABSENT!r}\n{program}\n{asks}"],
        capture_output=True,
        text=True,
    )
    assert "No module named 'fcntl', which expand3d.study.lock imports" in done.stderr


def test_cores_are_those_of_the_process_or_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_memory_is_the_machines_or_its_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(os, "sysconf", lambda name: pages[name], raising=False)
    assert memory_here(tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_here(tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory_here(tmp_path) == 1_000_000
    monkeypatch.delattr(os, "sysconf")
    assert memory_here(tmp_path / "none") is None


def test_a_peak_that_the_system_does_not_tell_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it fails
    assert PeakMemory(lambda: None).peak() == 0


def test_signals_that_the_system_lacks_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from expand3d.execute.ray import _our_signals

    monkeypatch.delattr(signal, "SIGUSR1")
    before = signal.getsignal(signal.SIGINT)
    with _our_signals():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before
