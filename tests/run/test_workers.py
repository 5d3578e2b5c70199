"""Workers of one study: some are killed, one sleeps; nothing is lost, doubled or different."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from expand3d.cli.main import main
from expand3d.core.errors import DataError, StudyError
from expand3d.core.trial import Candidate, Trial
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.worker import NETWORK, create_study, join_study
from expand3d.study.catalog import state_of
from expand3d.study.claims import Claim
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.postgres_server import postgres_server
from tests.helpers.study_config import with_short_looks
from tests.helpers.waiting import HANGS, wait_for

#: Seconds; much longer than a busy machine keeps a thread waiting.
DEAD_AFTER = 6.0
SHORT = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1}


def sampled(config: StudyConfig, **changes: Any) -> StudyConfig:
    whole = {"strategy": "tpe", "trials": 4, "batch": 3, "final": True, "final_recipe": SHORT}
    return dataclasses.replace(config, **{**whole, **changes})


def opened(config: StudyConfig) -> Record:
    assert config.name is not None
    return Record.open(config.name, root=config.root, storage=config.storage)


def outcome_of(config: StudyConfig) -> Any:
    """The findings of a study, whoever trained it in which order."""
    record = opened(config)
    last = record.final()
    assert last is not None
    winner = record.trial(last["trial"]).candidate
    trials = sorted(record.trials(), key=lambda trial: trial.candidate.digest)
    found = [(t.candidate, t.state, t.scores()) for t in trials]
    return found, winner, last["training"]["scores"], last["seed"]


class Crowd:
    """Worker processes of one study, each with its log."""

    def __init__(self, config: StudyConfig, home: Path) -> None:
        self.config, self.home = config, home
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, root: str | None = None, **environment: str) -> int:
        """The pid of one more worker."""
        assert self.config.name is not None
        command = [sys.executable, "-m", "expand3d", "worker", self.config.name, *words]
        command += ["--root", root or self.config.root, "--dead-after", f"{DEAD_AFTER}s"]
        if self.config.storage:
            command += ["--storage", self.config.storage]
        with self._log(len(self.processes)).open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        self.processes.append(process)
        return process.pid

    def _log(self, number: int) -> Path:
        return self.home / f"worker{number}.log"

    def said(self, pid: int) -> str:
        (number,) = (n for n, process in enumerate(self.processes) if process.pid == pid)
        return self._log(number).read_text()

    def until(self, pid: int, text: str) -> None:
        """Waits until a worker has said something."""
        (process,) = (process for process in self.processes if process.pid == pid)
        wait_for(lambda: text in self.said(pid), process=process, said=lambda: self.said(pid))

    def busy(self) -> list[Claim]:
        """The workers that train a network now."""
        claims = opened(self.config).claims.others()
        return [claim for claim in claims if claim.name.startswith(NETWORK)]

    def suspended(self, *but: int) -> int:
        """The pid of a worker that is suspended in the middle of a network, none of `but`."""

        def caught() -> int | None:
            for claim in self.busy():
                pid = claim.who.pid
                if pid in but:
                    continue
                os.kill(pid, signal.SIGSTOP)
                with contextlib.suppress(StudyError):  # suspended in the middle of a write
                    if pid in [claim.who.pid for claim in self.busy()]:
                        return pid
                os.kill(pid, signal.SIGCONT)
            return None

        pid = wait_for(caught, said=lambda: "\n".join(self.said(p.pid) for p in self.processes))
        assert pid is not None
        return pid

    def ended(self, pid: int) -> int:
        (process,) = (process for process in self.processes if process.pid == pid)
        return process.wait(HANGS)

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Callable[[StudyConfig], Crowd]]:
    made: list[Crowd] = []

    def make(config: StudyConfig) -> Crowd:
        made.append(Crowd(config, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check_nothing_is_lost_or_doubled(config: StudyConfig, alone: StudyConfig) -> None:
    record = opened(config)
    digests = {trial.candidate.digest for trial in record.trials()}
    assert len(record.trials()) == config.trials == len(digests)
    assert {trial.state for trial in record.trials()} == {"complete"}
    assert outcome_of(config) == outcome_of(alone), "what one driver finds"
    assert state_of(record) == ("finished", "finished")
    url = config.storage or f"sqlite:///{Path(config.root) / 'tiny' / 'study.db'}"
    told = optuna.load_study(study_name="tiny", storage=url.replace("sql://", "sql+psycopg://"))
    assert [trial.state.name for trial in told.trials] == ["COMPLETE"] * config.trials


@pytest.mark.slow
def test_one_of_two_workers_is_killed_and_one_driver_could_not_tell(
    config: StudyConfig, tmp_path: Path, crowd: Callable[[StudyConfig], Crowd]
) -> None:
    alone = sampled(config, root=str(tmp_path / "alone"))
    assert run_study(alone) is not None
    shared = sampled(config)
    assert create_study(shared) == "tiny"
    workers = crowd(shared)
    left = {workers.start(), workers.start()}
    dead = workers.suspended()
    with pytest.raises(StudyError, match=r"'tiny' is being trained by a worker, process \d+ on "):
        resume_study("tiny", root=config.root)
    os.kill(dead, signal.SIGKILL)
    left.remove(dead)
    (last,) = left
    assert workers.ended(last) == 0, workers.said(last)
    assert f"taken over from process {dead} on" in workers.said(last)
    check_nothing_is_lost_or_doubled(shared, alone)
    outcome = resume_study("tiny", root=config.root)
    assert outcome.finished and len(opened(shared).trials()) == shared.trials


@pytest.mark.slow
def test_a_worker_stops_cleanly_and_lets_go_of_what_it_had(
    config: StudyConfig, crowd: Callable[[StudyConfig], Crowd]
) -> None:
    slow = {**SHORT, "clip_visits": 4000}
    shared = sampled(config, recipe=slow)
    create_study(shared)
    workers = crowd(shared)
    pid = workers.start()
    workers.until(pid, "epoch 1")
    os.kill(pid, signal.SIGTERM)
    assert workers.ended(pid) == 130
    assert "interrupted; join again with: expand3d worker tiny" in workers.said(pid)
    record = opened(shared)
    assert record.claims.everyone() == ()
    assert [trial.state for trial in record.trials()] == ["running"]
    assert state_of(record) == ("stopped", "interrupted")
    assert list(record.folder.checkpoints.glob("0-*.pt"))


def test_a_worker_is_refused_beside_a_driver_and_where_latency_counts(
    config: StudyConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_short_looks(monkeypatch)
    refused: list[str] = []

    def join() -> bool:
        """Asked by a driver at work whether it should stop."""
        try:
            join_study("tiny", root=config.root)
        except StudyError as error:
            refused.append(str(error))
        return True

    run_study(sampled(config), stop=join)
    assert f"is being run by process {os.getpid()} on" in refused[0]
    elsewhere = str(tmp_path / "timed")
    words = ["--budget", "0.04GFLOPs,9999ms@cpu", "--data", config.data, "--threads", "1"]
    assert main(["run", *words, "--study", "timed", "--root", elsewhere, "--create"]) == 0
    assert f"train it with: expand3d worker timed --root {elsewhere}\n" in capsys.readouterr().out
    assert Record.open("timed", root=elsewhere).trials() == ()
    assert main(["worker", "timed", "--root", elsewhere]) == 2
    assert "use expand3d resume" in capsys.readouterr().err


@pytest.mark.slow
def test_a_machine_without_the_videos_trains_from_its_cache(
    config: StudyConfig, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(videos.parent, copy)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    shared = sampled(config, trials=2, data=str(copy / videos.name), storage=url)
    create_study(shared)
    shutil.rmtree(copy)
    elsewhere: dict[str, Any] = {"root": str(tmp_path / "elsewhere"), "storage": url}
    with monkeypatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(tmp_path / "empty"))
        with pytest.raises(DataError, match="lacks 24 of 24 clips at 30 frames/s and "):
            join_study("tiny", **elsewhere)
    assert join_study("tiny", **elsewhere).finished
    alone = sampled(config, trials=2)
    assert run_study(alone) is not None
    assert outcome_of(shared) == outcome_of(alone)
    with pytest.raises(DataError, match="no such file or folder"):
        join_study("tiny", **elsewhere, changes={"data": str(copy)})


@pytest.mark.slow
def test_a_worker_that_a_driver_took_for_dead_ends_and_says_so(
    config: StudyConfig, tmp_path: Path
) -> None:
    shared = sampled(config, final=False, trials=2)
    create_study(shared)

    class Sleeper(Watch):
        """Sleeps in its first training while a driver takes the study over and finishes it."""

        def training(self, candidate: Candidate | None, progress: Any) -> None:
            if not driven:
                time.sleep(1)
                driven.append(resume_study("tiny", root=config.root).finished)

    driven: list[bool] = []
    with patched_signs(), pytest.raises(StudyError, match="'tiny' was taken over: no sign of life"):
        join_study("tiny", root=config.root, patience=0.5, watch=Sleeper())
    assert driven == [True]
    alone = dataclasses.replace(shared, root=str(tmp_path / "alone"))
    assert run_study(alone) is not None
    found = [{t.candidate.digest: t.scores() for t in opened(c).trials()} for c in (shared, alone)]
    assert found[0] == found[1] and len(opened(shared).trials()) == shared.trials


@contextlib.contextmanager
def patched_signs() -> Iterator[None]:
    """No sign of life comes from a thread, as if the process were suspended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expand3d.study.claims.SIGNS", 1e-6)
        yield


@pytest.mark.slow
def test_a_network_that_its_workers_die_of_fails_for_that_reason(config: StudyConfig) -> None:
    shared = sampled(config, final=False)
    create_study(shared)
    for lost in range(4):
        pid = os.fork()
        if pid == 0:
            join_study("tiny", root=config.root, patience=0.4, watch=Deadly())
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL, f"the next after {lost}"
        (base, *_) = opened(shared).trials()
        if base.state == "failed":
            break
        time.sleep(0.5)
    assert lost == 3 and base.reason == "3 workers in a row died with it"


class Deadly(Watch):
    """Kills its process in the middle of a training of the base, and whenever a trial ended."""

    def training(self, candidate: Candidate | None, progress: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def finished(self, trial: Trial) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


@pytest.mark.slow
def test_on_postgresql_of_four_workers_two_are_killed_and_one_sleeps(
    config: StudyConfig,
    videos: Path,
    tmp_path: Path,
    server: str,
    crowd: Callable[[StudyConfig], Crowd],
) -> None:
    """Every worker has a folder, a cache and a copy of the videos of its own, as on machines."""
    alone = sampled(config, trials=9, batch=4, root=str(tmp_path / "alone"))
    assert run_study(alone) is not None
    shared = dataclasses.replace(alone, root=config.root, storage=server)
    create_study(shared)
    workers = crowd(shared)
    pids = set()
    for number in range(4):
        home = tmp_path / f"machine{number}"
        shutil.copytree(videos.parent, home / "videos")
        words = ["--data", str(home / "videos" / videos.name)]
        cache = str(home / "cache")
        pids.add(workers.start(*words, root=str(home / "studies"), EXPAND3D_CACHE=cache))
    first = workers.suspended()
    os.kill(first, signal.SIGKILL)
    second = workers.suspended(first)
    os.kill(second, signal.SIGKILL)
    asleep = workers.suspended(first, second)
    (last,) = pids - {first, second, asleep}
    workers.until(last, f"taken over from process {asleep} on")
    os.kill(asleep, signal.SIGCONT)
    for pid in (asleep, last):
        assert workers.ended(pid) == 0, workers.said(pid)
    assert "somebody else has network/" in workers.said(asleep)
    check_nothing_is_lost_or_doubled(shared, alone)


@pytest.mark.slow
def test_on_postgresql_workers_expand_too(
    config: StudyConfig, tmp_path: Path, server: str, crowd: Callable[[StudyConfig], Crowd]
) -> None:
    alone = dataclasses.replace(
        config, name="grown", root=str(tmp_path / "alone"), final=True, final_recipe=SHORT
    )
    assert run_study(alone) is not None
    shared = dataclasses.replace(alone, root=config.root, storage=server)
    create_study(shared)
    workers = crowd(shared)
    pids = [workers.start(), workers.start()]
    assert [workers.ended(pid) for pid in pids] == [0, 0], [workers.said(pid) for pid in pids]
    assert outcome_of(shared) == outcome_of(alone)
    kept = [opened(study).attribute("step/1")["text"] for study in (shared, alone)]
    assert kept[0] == kept[1]
