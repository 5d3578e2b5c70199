"""Networks that begin with their parents' weights: within one training, kept, and exact."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError, StudyError, WeightsError
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import BASELINE, PARENT, SCRATCH
from expand3d.execute.evaluate import Job, make_jobs
from expand3d.interop.json_folder import load_export
from expand3d.networks.weights.initial import hash_of
from expand3d.report.study.view import load_view
from expand3d.run.driver import plan_study, resume_study, run_study
from expand3d.run.inherit import (
    inherited,
    keep_those_that_may_be_parents,
    parent_of,
    refuse_apart,
)
from expand3d.study.config import StudyConfig
from expand3d.study.folder import StudyFolder
from expand3d.study.record import Record
from expand3d.study.weights import WeightStore
from expand3d.training.checkpoint import save_weights
from expand3d.training.tasks.classify import course
from tests.helpers.study_config import stop_after, tiny, without_timing

LAST = {"clip_visits": 8, "epochs": None, "batch": 8, "bn_batch": 8, "test_views": 1}
CLIPS: Any = SimpleNamespace(keys=list("abcdefgh"), labels=[0, 1] * 4, class_names=("x", "y"))
#: Two folds of two repeats.
JOBS = make_jobs(train=range(6), val=(6, 7), folds=[range(4), range(4, 8)], repeats=2, seed=5)


class Kept:
    """A record of one trained parent, number 3, as far as weights are passed on from it."""

    def __init__(self, root: Path) -> None:
        self.folder = StudyFolder(root)
        parent = SimpleNamespace(digest="parent", plan=None)
        self._trial = SimpleNamespace(number=3, state="complete", candidate=parent)
        self.store = WeightStore(self.folder)
        for job in JOBS:
            self.put(job, job)

    def put(self, place: Job, of: Job) -> None:
        """Weights in the place of one job that another has trained."""
        network = torch.nn.Linear(2, 2)
        save_weights(network, self.store.path(3, place.key), course(CLIPS, of.train, of.seed))

    def config(self) -> Any:
        return SimpleNamespace(init=PARENT)

    def trials(self) -> list[Any]:
        return [self._trial]

    def passed_on(self) -> Any:
        child: Any = SimpleNamespace(start="parent", step=2)
        return inherited(self, child, CLIPS, [(job.key, job) for job in JOBS])  # type: ignore[arg-type]


def test_each_training_begins_with_its_own_of_the_parent(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    files = {str(key): weights.file for key, weights in kept.passed_on()}
    assert files == {
        text: tmp_path.resolve() / "weights" / "trials" / "3" / f"{text[0]}-{text[2]}.safetensors"
        for text in ("0/0", "0/1", "1/0", "1/1")
    }


@pytest.mark.parametrize(
    ("place", "of", "words"),
    [
        (0, 2, "another seed and training clips than those of fold 1, repeat 1"),
        (3, 1, "another seed and training clips than those of fold 2, repeat 2"),
        (0, 1, "another seed than those of fold 1, repeat 1"),
    ],
)
def test_weights_of_another_fold_or_repeat_are_a_leak(
    tmp_path: Path, place: int, of: int, words: str
) -> None:
    kept = Kept(tmp_path)
    kept.put(JOBS[place], JOBS[of])
    with pytest.raises(WeightsError, match=words):
        kept.passed_on()


def test_weights_that_do_not_say_what_trained_them_are_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    save_weights(torch.nn.Linear(2, 2), kept.store.path(3, TrainingKey()))
    with pytest.raises(WeightsError, match="another seed and training clips"):
        kept.passed_on()


def test_weights_that_are_gone_are_named(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.store.path(3, JOBS[1].key).unlink()
    with pytest.raises(StudyError, match=r"0-1\.safetensors is gone, the weights of trial 3 .*2"):
        kept.passed_on()


def test_losers_weights_go_once_the_step_after_theirs_has_ended(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for number in range(7):
        kept.store.put(number, TrainingKey(), b"weights")

    def step(numbers: list[int], winner: int) -> Any:
        named = {n: SimpleNamespace(digest=str(n)) for n in numbers}
        trials = [SimpleNamespace(number=n, candidate=named[n]) for n in numbers]
        return SimpleNamespace(trials=(*trials, None), kept=(named[winner],))

    record: Any = kept
    steps = [step([0], 0), step([1, 2, 3], 2)]
    keep_those_that_may_be_parents(record, steps)
    assert kept.store.numbers() == (0, 1, 2, 3, 4, 5, 6)
    steps.append(step([4, 5], 5))
    keep_those_that_may_be_parents(record, steps)  # 6 is of a step that another worker is at
    assert kept.store.numbers() == (0, 2, 4, 5, 6)


def test_workers_without_a_folder_in_common_are_refused() -> None:
    def record(**keys: Any) -> Any:
        config = SimpleNamespace(**{"init": PARENT, "storage": None, **keys})
        return SimpleNamespace(name="birds", config=lambda: config)

    refuse_apart(record())
    refuse_apart(record(init=SCRATCH, storage="postgresql://host/db"))
    with pytest.raises(StudyError, match=r"'birds' has init = 'parent'.*no folder for weights"):
        refuse_apart(record(storage="postgresql://host/db"))


def test_a_sampler_has_no_parents(config: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="needs strategy = 'expand'"):
        dataclasses.replace(config, init=PARENT, strategy="random")


def test_confirming_needs_weights_of_parents(config: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="confirm = true trains steps from scratch"):
        dataclasses.replace(config, confirm=True)


def test_the_plan_has_a_row_for_networks_from_scratch(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_timing(monkeypatch)
    config = dataclasses.replace(tiny(videos, tmp_path), init=PARENT)
    plain, more = (plan_study(dataclasses.replace(config, confirm=on)) for on in (False, True))
    *steps, scratch = more.steps
    assert [row.candidates for row in steps] == [row.candidates for row in plain.steps]
    assert (scratch.name, scratch.candidates, scratch.clip_visits) == ("from scratch", 2, 2 * 16)
    assert more.seconds > plain.seconds


def test_a_parents_weights_saw_all_but_the_clips_that_it_was_scored_for(tmp_path: Path) -> None:
    class Recorded(Kept):
        def attribute(self, key: str) -> Any:
            return {"classes": ["a", "b"], "clips": {"c0": "s0", "c1": "s1", "c2": "s2"}}

    kept = Recorded(tmp_path)
    scores = (SimpleNamespace(key="c1"),)
    (trial,) = kept.trials()
    trial.furthest = {job.key: SimpleNamespace(scores=scores) for job in reversed(JOBS)}
    child: Any = SimpleNamespace(candidate=SimpleNamespace(start="parent", step=2))
    parent = parent_of(kept, child)  # type: ignore[arg-type]
    assert parent is not None
    assert parent.initial.file == kept.store.path(3, TrainingKey())
    assert parent.initial.sha == hash_of(parent.initial.file)
    assert parent.initial.clips == {"s0", "s1", "s2"}
    assert parent.having_seen({"c0": "s0", "c1": "s1"}).clips == {"s0"}
    child.candidate.start = SCRATCH
    assert parent_of(kept, child) is None  # type: ignore[arg-type]


# A whole study


def inheriting(videos: Path, root: Path) -> StudyConfig:
    return dataclasses.replace(
        tiny(videos, root), init=PARENT, confirm=True, folds=2, final=True, final_recipe=LAST
    )


def outcome_of(root: str) -> dict[str, Any]:
    """Everything that a finished study has scored, and what each network began with."""
    record = Record.open("tiny", root=root)
    final = record.final()
    assert final is not None
    found = {
        f"{trial.number} {key}": (trial.candidate.to_json(), training.scores)
        for trial in record.trials()
        for key, training in trial.trainings.items()
    }
    return {**found, "final": (final["trial"], Training.from_json(final["training"]).scores)}


@pytest.fixture(scope="module")
def whole(
    videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The root of a study that ran without a break."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        outcome = run_study(inheriting(videos, root))
        assert outcome is not None and outcome.finished
        yield str(root)


@pytest.mark.slow
def test_the_record_says_what_each_network_began_with(whole: str) -> None:
    record = Record.open("tiny", root=whole)
    base, *rest = record.trials()
    grown = [trial for trial in rest if trial.candidate.role != BASELINE]
    scratch = rest[len(grown) :]
    assert base.provenance["start"] == SCRATCH and len(grown) > 1
    assert {trial.provenance["start"] for trial in grown} == {base.candidate.digest}
    assert {trial.candidate.start for trial in grown} == {base.candidate.digest}
    assert record.config().init == PARENT
    # The step's two best are confirmed from scratch.
    assert len(scratch) == 2 and {t.provenance["start"] for t in scratch} == {SCRATCH}
    plans = {trial.candidate.plan.digest for trial in grown}
    assert {trial.candidate.digest for trial in scratch} < plans
    view = load_view("tiny", root=whole)
    assert view.confirmed and view.confirmed.startswith("from scratch, ")
    assert view.best is not None and view.best.number not in {t.number for t in scratch}
    # Fold and repeat of every network, which weights they are and not those of the last training.
    store = WeightStore(record.folder)
    assert set(store.numbers()) == {base.number, *(trial.number for trial in grown)}
    for number in store.numbers():
        assert [str(key) for key in store.keys(number)] == ["0/0", "1/0"]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["here", "processes"])
def test_stopped_and_resumed_it_is_the_same_study(
    videos: Path, tmp_path: Path, whole: str, executor: str
) -> None:
    config = dataclasses.replace(inheriting(videos, tmp_path), executor=executor)
    ended = run_study(config, stop=stop_after(11))
    assert ended is not None and ended.reason == "interrupted"
    resume_study("tiny", root=tmp_path, stop=stop_after(25))
    assert resume_study("tiny", root=tmp_path).finished
    assert outcome_of(str(tmp_path)) == outcome_of(whole)


DIES = """
import json, os, signal, sys
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

keep, left = Record.put_training, int(sys.argv[2])

def dying(*args, **keys):
    global left
    left -= 1
    if not left:  # the weights are there, and nobody knows of them
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(*args, **keys)

Record.put_training = dying
run_study(StudyConfig.from_mapping(json.loads(sys.argv[1])))
"""


@pytest.mark.slow
def test_killed_between_weights_and_record_it_is_the_same_study(
    videos: Path, tmp_path: Path, whole: str
) -> None:
    config = json.dumps(inheriting(videos, tmp_path).to_json())
    died = subprocess.run([sys.executable, "-c", DIES, config, "4"], capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    store = WeightStore(Record.open("tiny", root=tmp_path).folder)
    assert [str(key) for key in store.keys(1)] == ["0/0", "1/0"]
    assert resume_study("tiny", root=tmp_path).finished
    assert outcome_of(str(tmp_path)) == outcome_of(whole)


@pytest.mark.slow
def test_a_leak_that_was_planted_ends_a_study(videos: Path, tmp_path: Path) -> None:
    """The base's weights of the second fold in the place of the first."""
    config = inheriting(videos, tmp_path)
    assert run_study(dataclasses.replace(config, budget="0.021GFLOPs", final=False)) is not None
    store = WeightStore(Record.open("tiny", root=tmp_path).folder)
    shutil.copy(store.path(0, TrainingKey(1)), store.path(0, TrainingKey(0)))
    with pytest.raises(WeightsError, match="than those of fold 1, repeat 1"):
        resume_study("tiny", root=tmp_path, changes={"budget": "0.04GFLOPs"})


@pytest.mark.slow
def test_a_network_trained_in_full_begins_as_its_last_training_did(
    whole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record.open("tiny", root=whole)
    base, first, *_ = record.trials()
    words = ["train", f"tiny:{first.number}", "--root", whole, "--threads", "1", "--device", "cpu"]
    words += ["--clip-visits", "16", "--batch", "8", "--out", str(tmp_path / "out")]
    # Its fold's training saw some of the clips that would validate here.
    assert main(words) == 2
    assert "trained" in (said := capsys.readouterr().err) and len(said.splitlines()) == 1
    assert main([*words, "--with-val"]) == 0
    began = WeightStore(record.folder).path(base.number, TrainingKey())
    assert load_export(tmp_path / "out").provenance["begun_from"] == hash_of(began)
    assert main(["train", "tiny:0", *words[2:-1], str(tmp_path / "base")]) == 0
    assert load_export(tmp_path / "base").provenance["begun_from"] == SCRATCH
