from __future__ import annotations

import io
import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState

from expand3d.core.errors import StudyError
from expand3d.core.result import ClipScore, TrainingKey
from expand3d.core.trial import Trial
from expand3d.study.catalog import list_studies, state_of
from expand3d.study.config import StudyConfig
from expand3d.study.database import open_storage
from expand3d.study.folder import StudyFolder, study_folder
from expand3d.study.lock import StudyLock
from expand3d.study.record import Record
from tests.helpers.made_up_trials import FACTORS, RANGES, candidate, config, training

COST = {"macs": 20_670_000, "params": 1_630_000}
PROVENANCE = {"seed": 0, "recipe": {"lr": 0.05}, "versions": {"torch": "2.13"}}


def _filled(root: Path, **changes: Any) -> Record:
    """Complete, failed, failed untrained, and running with one fold of two."""
    record = Record.create(config(root, **changes))
    first = record.begin(candidate(), COST, PROVENANCE, ranges=RANGES)
    record.put_training(first, TrainingKey(), training((0, 0, 0, 1)))
    record.put_training(first, TrainingKey(1), training((0, 2, 3, 1)))
    record.finish(first, "complete")
    failed = record.begin(candidate(2.0, step=1), COST, PROVENANCE, ranges=RANGES)
    record.put_training(failed, TrainingKey(), training(status="diverged"))
    record.finish(failed, "failed", "diverged at epoch 3")
    wide = record.begin(candidate(3.0, step=1), COST, PROVENANCE, ranges=RANGES)
    record.finish(wide, "failed", "60 M is over 41 M")
    running = record.begin(candidate(2.5, step=1), COST, PROVENANCE, ranges=RANGES)
    record.put_training(running, TrainingKey(), training())
    return record


def _url(root: Path, name: str = "birds") -> str:
    return f"sqlite:///{root / name / 'study.db'}"


def test_an_opened_record_equals_the_one_that_wrote_it(tmp_path: Path) -> None:
    written = _filled(tmp_path)
    read = Record.open("birds", root=tmp_path)
    assert read.trials() == written.trials()
    assert [trial.state for trial in read.trials()] == [
        "complete",
        "failed",
        "failed",
        "running",
    ]
    assert read.trials()[0].trainings[TrainingKey(1)] == training((0, 2, 3, 1))
    assert read.trials()[1].reason == "diverged at epoch 3"
    assert read.trials()[0].provenance == PROVENANCE and read.trials()[0].cost == COST
    assert list(read.trials()[3].trainings) == [TrainingKey()]
    assert read.settle() == ()


def test_the_json_attribute_alone_rebuilds_every_trial(tmp_path: Path) -> None:
    written = _filled(tmp_path)
    with sqlite3.connect(tmp_path / "birds" / "study.db") as database:
        rows = database.execute("select key, value_json from trial_user_attributes").fetchall()
    assert {key for key, _ in rows} == {"trial"} and len(rows) == 4
    from expand3d.study.encoding import decode_trial

    rebuilt = sorted((decode_trial(json.loads(text)) for _, text in rows), key=lambda t: t.number)
    assert tuple(rebuilt) == written.trials()
    assert not any(word in text for _, text in rows for word in ("NaN", "Infinity"))


def test_plain_optuna_reads_the_study(tmp_path: Path) -> None:
    _filled(tmp_path)
    study = optuna.load_study(study_name="birds", storage=_url(tmp_path))
    assert study.metric_names == ["accuracy", "macs"]
    assert [trial.number for trial in study.best_trials] == [0]
    assert study.best_trials[0].values == [4 / 8, 20_670_000]  # 4 of the 8 clips at rank 0
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL, TrialState.RUNNING]
    assert study.trials[0].params == FACTORS
    assert study.trials[1].values is None  # never a score of 0
    frame = study.trials_dataframe()
    assert list(frame["params_gamma_w"]) == [1.5, 2.0, 3.0, 2.5]
    spaces = {str(trial.distributions["gamma_w"]) for trial in study.trials}
    assert len(spaces) == 1  # equal ranges, without which importances leave the factor out


def test_optuna_dashboard_lists_the_study_and_its_trials(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    _filled(tmp_path)
    app = dashboard.wsgi(_url(tmp_path))

    def get(path: str) -> Any:
        environ: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(environ)
        environ["wsgi.input"] = io.BytesIO()
        status: list[str] = []
        body = b"".join(app(environ, lambda code, *_: status.append(code)))
        assert status == ["200 OK"]
        return json.loads(body)

    (study,) = get("/api/studies")["study_summaries"]
    assert study["study_name"] == "birds"
    detail = get(f"/api/studies/{study['study_id']}")
    assert detail["objective_names"] == ["accuracy", "macs"]
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Fail", "Fail", "Running"]
    assert {item["name"] for item in detail["trials"][0]["params"]} == set(FACTORS)


def test_a_study_that_is_there_is_refused_with_the_resume_command(tmp_path: Path) -> None:
    Record.refuse_existing(config(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    Record.create(config(tmp_path))
    for refuse in (Record.create, Record.refuse_existing):
        with pytest.raises(StudyError, match=rf"expand3d resume birds --root {tmp_path}$"):
            refuse(config(tmp_path))


def test_opening_names_what_is_missing_and_makes_nothing(tmp_path: Path) -> None:
    Record.create(config(tmp_path))
    with pytest.raises(StudyError, match=r"did you mean 'birds'\?"):
        Record.open("brids", root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["birds"]
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(StudyError, match="holds no study 'birds'"):
        Record.open("birds", root=tmp_path, storage=url)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path).make()
    folder.database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StudyError, match=r"birds/study\.db: cannot be opened"):
        Record.open("birds", root=tmp_path)
    (info,) = list_studies(tmp_path)
    assert info.state == "unreadable" and "study.db" in str(info.reason)


def test_a_storage_without_its_driver_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nodb://me:\*\*\*@h/d: cannot be opened"):
        Record.open("birds", root=tmp_path, storage="nodb://me:secret@h/d")


def test_a_foreign_optuna_study_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = optuna.create_study(study_name="birds", storage=url, directions=["maximize"] * 2)
    study.add_trial(optuna.trial.create_trial(values=[1, 2], params={}, distributions={}))
    with pytest.raises(StudyError, match="did not start"):
        Record.create(config(tmp_path, storage=url))
    with pytest.raises(StudyError, match="not started by expand3d"):
        Record.open("birds", root=tmp_path, storage=url)


def test_a_record_lives_in_any_storage_and_any_path(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("birds", "fish"):
        _filled(tmp_path, name=name, storage=url)
    assert len(Record.open("fish", root=tmp_path, storage=url).trials()) == 4
    assert not (tmp_path / "fish" / "study.db").exists()
    odd = tmp_path / "50% of {it}? #1"
    _filled(odd)
    assert len(Record.open("birds", root=odd).trials()) == 4


def test_the_record_keeps_the_resolved_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = config(Path("here"), data="videos", recipe={"jitter": (1, 1.5)}, ratio=3)
    Record.create(before)
    (tmp_path / "here").rename(tmp_path / "there")
    found = Record.open("birds", root="there").config()
    assert found == replace(before, data=str(tmp_path / "videos"), root="there")
    assert isinstance(found, StudyConfig) and found.recipe == {"jitter": (1.0, 1.5)}


def test_a_record_from_before_unused_keys_were_refused_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("expand3d.study.config.refuse_unused", lambda config: None)
        Record.create(config(tmp_path, strategy="tpe", trials=60, beam=3))
    found = Record.open("birds", root=tmp_path).config()
    assert (found.strategy, found.trials, found.beam) == ("tpe", 60, 1)


def test_finding_by_identity_prefers_a_complete_trial(tmp_path: Path) -> None:
    record = Record.create(config(tmp_path))
    same = candidate()
    assert record.find(same.digest) is None
    failed = record.begin(same, COST, {})
    record.finish(failed, "failed", "killed")
    again = record.begin(same, COST, {})
    assert record.find(same.digest) == record.trial(failed)
    record.put_training(again, TrainingKey(), training())
    record.finish(again, "complete")
    assert record.find(same.digest) == record.trial(again)
    with pytest.raises(StudyError, match="no trial 7; it has 0 to 1"):
        record.trial(7)


def test_a_trial_waits_and_is_stopped_and_a_crash_before_optuna_knows_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record.create(config(tmp_path))
    number = record.begin(candidate(), COST, PROVENANCE)
    record.put_training(number, TrainingKey(visits=16), training())
    assert record.put_reached(number, 16) == record.trial(number)
    waits = Record.open("birds", root=tmp_path).trial(number)
    assert (waits.state, waits.reached, waits.reason) == ("running", 16, None)

    class Killed(Exception):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("expand3d.study.database.tell", killed)
        record.finish(number, "stopped", "third of three at 16 visits")
    again = Record.open("birds", root=tmp_path)
    assert again.settle() == (number,)
    kept = Record.open("birds", root=tmp_path).trial(number)
    assert (kept.state, kept.reached) == ("stopped", 16)
    assert kept.why == "stopped: third of three at 16 visits"
    (told,) = optuna.load_study(study_name="birds", storage=_url(tmp_path)).trials
    assert told.state == TrialState.PRUNED and told.values is None
    with pytest.raises(AssertionError):
        again.finish(again.begin(candidate(2.0), COST, {}), "stopped")  # without a reason


def test_a_trial_that_never_waited_is_stored_as_before(tmp_path: Path) -> None:
    record = _filled(tmp_path)
    with sqlite3.connect(tmp_path / "birds" / "study.db") as database:
        rows = database.execute("select value_json from trial_user_attributes").fetchall()
    assert all("reached" not in json.loads(text) for (text,) in rows)
    assert all(trial.reached == 0 for trial in record.trials())


def test_no_score_without_clips_and_no_failure_without_a_reason(tmp_path: Path) -> None:
    record = Record.create(config(tmp_path))
    number = record.begin(candidate(), COST, {})
    with pytest.raises(AssertionError):
        record.finish(number, "complete")
    with pytest.raises(AssertionError):
        record.finish(number, "failed")
    assert Record.open("birds", root=tmp_path).trial(number).state == "running"


def test_trials_of_other_tools_do_not_disturb(tmp_path: Path) -> None:
    record = _filled(tmp_path)
    study = optuna.load_study(study_name="birds", storage=_url(tmp_path))
    study.add_trial(optuna.trial.create_trial(values=[1, 2], params={}, distributions={}))
    study.tell(3, state=TrialState.FAIL)  # by hand, under a running trial
    read = Record.open("birds", root=tmp_path)
    assert [trial.number for trial in read.trials()] == [0, 1, 2, 3]
    assert read.trial(3).state == "failed" and "outside" in str(read.trial(3).reason)
    assert read.begin(candidate(4.0), COST, {}) == 5
    assert Record.open("birds", root=tmp_path).trial(5).number == 5
    # A writer that has not seen the stranger still records the number that its trial got.
    number = record.begin(candidate(5.0), COST, {})
    assert number == 6 and record.trial(6).number == 6


def test_twenty_thousand_clips_fit(tmp_path: Path) -> None:
    scores = tuple(
        ClipScore(f"val/class{i % 400:03d}/video_{i:06d}.mp4", i % 400, i % 7, 1 / (i + 1))
        for i in range(20_000)
    )
    record = Record.create(config(tmp_path))
    number = record.begin(candidate(), COST, PROVENANCE)
    record.put_training(number, TrainingKey(), replace(training(), scores=scores))
    record.finish(number, "complete")
    assert (
        Record.open("birds", root=tmp_path).trial(number).trainings[TrainingKey()].scores == scores
    )
    study = optuna.load_study(study_name="birds", storage=_url(tmp_path))
    assert study.trials[0].values[0] == pytest.approx(2858 / 20_000)  # i % 7 == 0: 0, 7 ... 19999


def test_sessions_and_the_final_result_are_kept(tmp_path: Path) -> None:
    record = Record.create(config(tmp_path))
    assert record.final() is None and state_of(record)[0] == "new"
    first = record.start_session()
    second = record.start_session()  # the first was killed
    record.stop_session(second, "interrupted")
    for _ in range(9):
        record.stop_session(record.start_session(), "finished")
    record.set_final({"top1": 0.5, "nll": float("nan"), "weights": "weights/final.safetensors"})
    record.set_attribute("bad files", ["a.mp4"])
    read = Record.open("birds", root=tmp_path)
    sessions = read.sessions()
    assert (first, second, len(sessions)) == (0, 1, 11)
    assert sessions[0].stopped is None and sessions[1].reason == "interrupted"
    assert sessions[1].versions["optuna"] == optuna.__version__
    assert read.final() == {"top1": 0.5, "nll": None, "weights": "weights/final.safetensors"}
    assert read.attribute("bad files") == ["a.mp4"] and read.attribute("other") is None


def test_the_list_of_studies_tells_their_states(tmp_path: Path) -> None:
    running = study_folder("running", tmp_path)
    for name, reason in (("done", "finished"), ("paused", "time limit"), ("dead", None)):
        record = _filled(tmp_path, name=name)
        number = record.start_session()
        if reason is not None:
            record.stop_session(number, reason)
    _filled(tmp_path, name="running").start_session()
    with StudyLock(running):
        found = {info.name: info for info in list_studies(tmp_path)}
    states = {name: info.state for name, info in found.items()}
    assert states == {
        "dead": "killed",
        "done": "finished",
        "paused": "stopped",
        "running": "running",
    }
    assert found["paused"].reason == "time limit" and found["paused"].budget == "0.1GFLOPs"
    assert (found["done"].trials, found["done"].complete) == (4, 1)


def test_a_write_that_the_disk_refuses_is_one_line(tmp_path: Path) -> None:
    record = _filled(tmp_path)
    database = tmp_path / "birds" / "study.db"
    with sqlite3.connect(database) as connection:
        connection.execute("drop table trial_user_attributes")
    with pytest.raises(StudyError, match=r"record of study 'birds' cannot be written: .*no such"):
        record.put_training(3, TrainingKey(1), training())


@pytest.mark.slow
def test_a_thousand_trials_are_read_in_two_seconds(tmp_path: Path) -> None:
    record = Record.create(config(tmp_path))
    for index in range(1000):
        number = record.begin(candidate(1 + index / 1000), COST, PROVENANCE, ranges=RANGES)
        record.put_training(number, TrainingKey(), training([index % 5] * 300))
    begun = time.process_time()
    trials = Record.open("birds", root=tmp_path).trials()
    assert time.process_time() - begun < 2
    assert len(trials) == 1000 and isinstance(trials[-1], Trial)


def test_a_record_appears_with_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees the file finds tables in it, however early he looks."""
    seen = []
    folder = StudyFolder(tmp_path / "early")
    folder.make()
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        assert not folder.database.exists()
        moved = real(self, target)
        with sqlite3.connect(folder.database) as reader:
            seen.extend(name for (name,) in reader.execute("select name from sqlite_master"))
        return moved

    monkeypatch.setattr(Path, "replace", replace)
    open_storage(folder, None)
    assert {"studies", "trials", "version_info"} <= set(seen)
