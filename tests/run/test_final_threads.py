"""The winner's last training has the cores of all workers, and keeps their number."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest

from expand3d.core.trial import Candidate
from expand3d.measure.throughput import Throughput
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.run.prepare.bench import last_threads
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

SHORT = {"clip_visits": 64, "batch": 8, "bn_batch": 8, "test_views": 1}


@pytest.mark.parametrize(
    ("fields", "device", "threads", "wanted"),
    [
        ({}, "cpu", 8, 8),  # one worker, which has all cores
        ({"executor": "processes", "workers": 4}, "cpu", 2, 8),
        ({"executor": "processes", "workers": 3}, "cpu", 2, 6),
        ({"executor": "processes", "workers": 3, "strategy": "tpe"}, "cpu", 2, 6),
        ({"executor": "processes", "workers": 8}, "cpu", 2, 8),  # no more than there are
        ({"executor": "processes", "workers": 2}, "cpu", 12, 12),  # nor fewer than the others have
        ({"executor": "processes", "devices": ("cpu", "cpu")}, "cuda", 2, 4),
        ({"executor": "processes", "devices": ("cuda:0", "cuda:1")}, "cuda", 2, 2),
        ({"executor": "processes", "workers": 4}, "cuda", 2, 2),
        ({"executor": "ray", "workers": 4}, "cpu", 2, 2),
        ({"executor": "ray", "workers": 4, "final_threads": 5}, "cpu", 2, 5),
        ({"final_threads": 1}, "cpu", 8, 1),
    ],
)
def test_the_last_training_has_what_the_workers_had(
    fields: dict[str, Any],
    device: str,
    threads: int,
    wanted: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    config = StudyConfig(budget="1G", **fields)
    assert last_threads(config, device=device, threads=threads) == wanted


def side_by_side(config: StudyConfig, **fields: Any) -> StudyConfig:
    """Two workers of one thread; the last training's two are named, as a machine may have one."""
    two = {"executor": "processes", "workers": 2, "final_threads": 2, "final_recipe": SHORT}
    return dataclasses.replace(config, final=True, **{**two, **fields})


def outcome(record: Record) -> tuple[Any, ...]:
    final = record.final()
    assert final is not None
    weights = (record.folder.weights / final["weights"]).read_bytes()
    return final["trial"], final["training"]["scores"], weights


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"executor": "here", "workers": None}, id="here"),
        pytest.param({}, id="processes", marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed_elsewhere_it_keeps_its_threads_bit_for_bit(
    config: StudyConfig, fields: dict[str, Any]
) -> None:
    fields = {"final_recipe": {**SHORT, "clip_visits": 16}, **fields}  # two steps
    seen: list[int] = []

    class Look(Watch):
        def training(self, candidate: Candidate | None, progress: Any) -> None:
            if candidate is None:
                seen.append(progress.visits_done)

    config = dataclasses.replace(config, budget="20MFLOPs")  # the base alone fits
    whole = dataclasses.replace(config, name="whole")
    assert run_study(side_by_side(whole, **fields)) is not None
    stopped = run_study(side_by_side(config, **fields), watch=Look(), stop=lambda: bool(seen))
    assert stopped is not None and not stopped.finished
    begun = Record.open("tiny", root=config.root)
    assert begun.final() is None and begun.config().final_threads == 2
    changes = {"executor": "here", "workers": None}
    assert resume_study("tiny", root=config.root, changes=changes).finished
    ended = Record.open("tiny", root=config.root)
    alone = Record.open("whole", root=config.root)
    assert outcome(ended) == outcome(alone)
    for record in (ended, alone):
        final = record.final()
        assert final is not None and final["training"]["environment"]["threads"] == 2
        assert final["training"]["notes"] == []
        threads = {t.provenance["threads"] for t in record.trials()}
        assert threads == {1}
    assert [t.scores() for t in ended.trials()] == [t.scores() for t in alone.trials()]


def test_the_plan_times_the_last_training_with_its_own_threads(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []

    def speed(*_: object, threads: int, **__: object) -> Throughput:
        timed.append(threads)
        return Throughput(1.0 / threads, 0.0, 0.0)  # whatever the size

    class Planned(Watch):
        def planned(self, overview: Overview) -> None:
            self.overview = overview

    monkeypatch.setattr("expand3d.measure.throughput.calibrate", speed)
    # Processes would not know of the stand-in.
    monkeypatch.setattr("expand3d.measure.throughput._together", lambda *_: ())
    for fields, seconds in (({}, 64 / 2), ({"final_threads": 1}, 64)):
        timed.clear()
        watch = Planned()
        wanted = side_by_side(config, **fields)
        assert run_study(wanted, watch=watch, confirm=lambda: False) is None
        final, base = watch.overview.final, watch.overview.steps[0]
        # A second a visit with one thread, half of it with two, up to the largest timed size;
        # what is less than 1.5 times as large as that is not timed and takes so much longer.
        assert final is not None and seconds <= final.seconds < 1.5 * seconds
        assert base.seconds == pytest.approx(16)
        said = dict(watch.overview.lines)["training"]
        assert ("1 threads, the last training 2" in said) == (not fields)
        assert set(timed) == ({1} if fields else {1, 2})
