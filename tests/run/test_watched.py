"""The page of a real study that is served while it gains a trial, and the command's end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from expand3d.core.process import environment
from expand3d.report.study import watch
from expand3d.report.study.view import load_view
from expand3d.report.study.watch import Pages, Server
from expand3d.run.driver import resume_study, run_study
from expand3d.study.config import StudyConfig
from tests.helpers import ROOT
from tests.helpers.browser import browser
from tests.helpers.study_config import stop_after

pytestmark = pytest.mark.slow


def test_a_page_gains_the_trials_of_its_study(
    config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "REST", 0.0)
    monkeypatch.setattr(watch, "ASK_AGAIN", 100)
    stopped = run_study(config, stop=stop_after(8))
    assert stopped is not None and not stopped.finished
    before = load_view("tiny", root=config.root)
    assert before.trials and before.state != "finished"
    with (
        Server(Pages(lambda: load_view("tiny", root=config.root))) as server,
        browser(tmp_path / "profile") as tab,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        tab.open(f"{server.address}#trial=0&curves=loss")
        tab.until("document.querySelector('#detail h3')")
        tab.until(f"document.querySelector('#news').textContent === 'live: {before.state}'")
        assert resume_study("tiny", root=config.root).finished
        after = load_view("tiny", root=config.root)
        assert len(after.complete) > len(before.complete)
        # The page finds out by itself, and keeps what is selected.
        tab.until("document.querySelector('#news').textContent === 'live: finished'")
        dots = "document.querySelectorAll('#frontier .dot[role]').length"
        tab.until(f"{dots} === {len(after.complete)}")
        assert tab.value("document.querySelector('#detail h3').textContent") == "Trial 0"
        assert tab.value("document.querySelector('[data-measure=loss]').ariaPressed") == "true"
        assert tab.complaints == []
        server.shutdown()
        server.server_close()
        thread.join()
        tab.until("document.querySelector('#news').textContent === 'no longer served'")


def test_ctrl_c_ends_it() -> None:
    records = ROOT / "tests/assets/records/v0.1/studies"
    words = ["-m", "expand3d", "report", "killed", "--watch", "--root", str(records)]
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        # Who runs these tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("killed: http://127.0.0.1:"), said
    address = said.split()[1]
    with urllib.request.urlopen(f"{address}version") as answer:
        assert len(json.loads(answer.read())["version"]) == 16
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
