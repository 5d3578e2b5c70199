"""A finished or unfinished study that is given a larger budget."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import BudgetError, ConfigError, ExportError, StudyError
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.report.study.view import load_view
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.light_networks import with_light_networks
from tests.helpers.study_config import stop_after, tiny, without_timing

SHORT = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1}
#: The base, and four networks at what the budget leaves; or four of twice its cost.
SMALL, LARGE = "0.03GFLOPs", "0.04GFLOPs"


@pytest.fixture
def config(config: StudyConfig) -> StudyConfig:
    return dataclasses.replace(config, budget=SMALL)


def opened(root: str | Path, name: str = "tiny") -> Record:
    return Record.open(name, root=root)


def trained(root: str | Path) -> dict[str, Any]:
    """The scores of every network of a study, by digest."""
    return {t.candidate.digest: t.scores() for t in opened(root).trials()}


def decisions(root: str | Path) -> list[tuple[str, ...]]:
    view = load_view("tiny", root=root)
    return [(step.text, *(c.digest for c in step.offer.candidates)) for step in view.steps]


class Count(Watch):
    """The networks that were trained while it looked on, and what was planned."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.plans: list[Overview] = []
        self.notes: list[str] = []

    def planned(self, overview: Overview) -> None:
        self.plans.append(overview)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finished(self, trial: Trial) -> None:
        self.digests.append(trial.candidate.digest)


LIGHT = pytest.mark.usefixtures("light")


@pytest.fixture(scope="module")
def alone(
    videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The folder of a study of light networks that had the larger budget from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        without_timing(patch)
        with_light_networks(patch)
        config = tiny(videos, tmp_path_factory.mktemp("alone"))
        assert run_study(dataclasses.replace(config, budget=LARGE)) is not None
        yield config.root


@LIGHT
@pytest.mark.parametrize("calls", [9, 10**9], ids=["stopped", "finished"])
def test_extended_it_decides_as_with_the_larger_budget_and_repeats_nothing(
    config: StudyConfig, alone: str, calls: int
) -> None:
    run_study(config, stop=stop_after(calls))
    before = {digest: scores for digest, scores in trained(config.root).items() if scores}
    count = Count()
    outcome = resume_study("tiny", root=config.root, changes={"budget": LARGE}, watch=count)
    assert outcome.finished
    assert decisions(config.root) == decisions(alone)
    after, fresh = trained(config.root), trained(alone)
    assert {digest: after[digest] for digest in fresh} == fresh
    assert {digest: after[digest] for digest in before} == before
    assert sorted(count.digests) == sorted(after.keys() - before.keys())
    assert len(count.digests) == len(after.keys() - before.keys())
    # What a study of the larger budget trains, but for what this one knows; a network that the
    # smaller budget began may be finished beside it.
    (plan,) = count.plans
    assert plan.candidates == len(fresh.keys() - before.keys()) and plan.final is None
    assert dict(plan.lines)["recorded"].startswith(f"{len(before)} networks")
    record = opened(config.root)
    (step,) = record.extensions()
    assert (step["from"], step["to"]) == ({"budget": SMALL}, {"budget": LARGE})
    assert step["networks"] == len(before) + (calls == 9)
    assert record.config().budget.text == LARGE
    view = load_view("tiny", root=config.root)
    assert (view.budget, view.budget_text) == (40_000_000, LARGE)
    assert view.facts["Extended 1"].startswith("budget 0.03GFLOPs to 0.04GFLOPs after ")
    # Once more it has nothing to do, with or without the same words.
    for changes in ({"budget": LARGE}, {"budget": "40M"}, {}):
        idle = Count()
        assert resume_study("tiny", root=config.root, changes=changes, watch=idle).finished
        assert not idle.plans and not idle.digests
    assert opened(config.root).extensions() == [step]
    assert trained(config.root) == after


@pytest.mark.slow
def test_a_new_winner_is_trained_again_and_the_old_training_is_kept(config: StudyConfig) -> None:
    config = dataclasses.replace(config, budget="20MFLOPs", final=True, final_recipe=SHORT)
    assert run_study(config) is not None
    record = opened(config.root)
    before, base = record.final(), record.trials()[0]
    assert before is not None and before["trial"] == 0
    kept = (record.folder.weights / before["weights"]).read_bytes()
    # Only the base fits into the smaller budget; whether it stays the best is for the clips.
    assert main(["resume", "tiny", "--root", config.root, "--extend", "0.025GFLOPs"]) == 0
    record, view = opened(config.root), load_view("tiny", root=config.root)
    final = record.final()
    assert final is not None and view.best is not None
    assert record.trials()[0] == base
    assert final["trial"] == view.best.number
    assert (record.folder.weights / before["weights"]).read_bytes() == kept
    if view.best.number:
        assert final["weights"] == f"winner-{view.best.number}.safetensors"
        assert (record.folder.weights / final["weights"]).is_file()
        assert record.attribute("final/0") == before
    else:
        assert final == before


@pytest.mark.slow
@LIGHT
def test_the_plan_alone_changes_nothing(
    config: StudyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(config, budget="20MFLOPs", final=True, final_recipe=SHORT)
    run_study(config, stop=stop_after(2))
    sessions = opened(config.root).sessions()

    def shown(*words: str) -> str:
        before = opened(config.root)
        assert main(["resume", "tiny", "--root", config.root, "--plan", *words]) == 0
        after = opened(config.root)
        assert after.trials() == before.trials() and after.sessions() == before.sessions()
        assert after.config() == before.config() and not after.extensions()
        assert after.attribute("strategy") == before.attribute("strategy")
        return capsys.readouterr().err

    def planned(*words: str) -> dict[str, int]:
        rows = [line.split() for line in shown(*words).splitlines()]
        named = ("0", "1", "final", "all")
        return {row[0]: int(row[1]) for row in rows if row and row[0] in named}

    first = planned("--extend", SMALL)  # the base, which is not trained yet, too
    assert resume_study("tiny", root=config.root).finished
    assert len(opened(config.root).sessions()) == len(sessions) + 1
    assert "nothing is left to train: " in shown()
    then = planned("--extend", SMALL)
    resume_study("tiny", root=config.root, changes={"budget": SMALL})
    step = len(opened(config.root).trials()) - 1
    assert first == {"0": 1, "1": step, "final": 1, "all": step + 2}
    assert then == {"1": step, "final": 1, "all": step + 1}


@pytest.mark.slow
@LIGHT
def test_a_budget_never_becomes_less_or_another(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(2))
    for wanted, said in (
        ("0.02GFLOPs", "has the budget 0.03GFLOPs, and 0.02GFLOPs is less"),
        ("3Mparams", "counts multiply-adds, and '3Mparams' limits parameters"),
        ("0.05GFLOPs,3Mparams", "limits multiply-adds and parameters"),
    ):
        with pytest.raises(StudyError, match=said):
            resume_study("tiny", root=config.root, changes={"budget": wanted})
    with pytest.raises(BudgetError, match="not a number"):
        resume_study("tiny", root=config.root, changes={"budget": "more"})
    assert opened(config.root).config().budget.text == SMALL
    assert not opened(config.root).extensions()


@pytest.mark.slow
def test_a_start_that_died_between_its_writes_is_made_good(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(2))
    record = opened(config.root)
    record.extend({"budget": LARGE})  # and then the process was killed
    assert opened(config.root).attribute("strategy")["budget"] == 30_000_000
    resume_study("tiny", root=config.root, stop=stop_after(1))
    assert opened(config.root).attribute("strategy")["budget"] == 40_000_000
    record = opened(config.root)
    (step,) = record.extensions()
    record.extend({"budget": LARGE})  # killed even earlier, and typed again
    assert record.extensions() == [step]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_while_it_is_extended_nothing_is_lost_or_trained_twice(
    config: StudyConfig, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    larger = dataclasses.replace(config, budget=LARGE, root=str(tmp_path / "alone"))
    assert run_study(larger) is not None and run_study(config) is not None
    alone = larger.root
    before = trained(config.root)
    words = [sys.executable, "-m", "expand3d", "resume", "tiny", "--root", config.root]
    words += ["--extend", LARGE]
    for _ in range(5):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(3 + 6 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert decisions(config.root) == decisions(alone)
    after, fresh = trained(config.root), trained(alone)
    assert {digest: after[digest] for digest in before} == before
    assert {digest: after[digest] for digest in fresh} == fresh
    assert len(opened(config.root).trials()) == len(after)
    assert len(opened(config.root).extensions()) == 1


def first(root: str | Path, name: str) -> Candidate:
    return opened(root, name).trials()[0].candidate


@LIGHT
def test_a_study_starts_from_a_trial_or_an_export_and_needs_neither_later(
    config: StudyConfig, tmp_path: Path
) -> None:
    seen: list[int | None] = []

    class Look(Watch):
        def training(self, candidate: Candidate | None, progress: Any) -> None:
            seen.append(candidate.step if candidate else None)

    run_study(config, watch=Look(), stop=lambda: 1 in seen)
    wanted = opened(config.root).trials()[1].candidate
    out = tmp_path / "out"
    export = ["export", "tiny", "--to", "json", "--trial", "1", "--out", str(out)]
    assert main([*export, "--root", config.root]) == 0
    begun = {"by-trial": "tiny:1", "by-file": f"{out}/network.json"}
    for name, start in begun.items():
        run_study(
            dataclasses.replace(config, name=name, start=start, budget="0.031GFLOPs"),
            stop=stop_after(1),
        )
        assert first(config.root, name).digest == wanted.digest
    Path(config.root, "tiny", "study.db").unlink()
    for path in out.iterdir():
        path.unlink()
    for name in begun:
        assert resume_study(name, root=config.root, stop=stop_after(1)).reason == "interrupted"


@LIGHT
def test_a_start_that_is_not_there_is_said_before_any_data_is_read(
    config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.json").write_text("{}")
    foreign = {"format": "expand3d network", "version": 1}
    genotype = get_family("r3d").base.to_json()
    Path("foreign.json").write_text(json.dumps({**foreign, "genotype": genotype}))
    run_study(config, stop=stop_after(1))
    for start, error, said in (
        ("tiny:9", ConfigError, r"'tiny' has no such trial; it has 0 to 0"),
        ("tiny:x", ConfigError, r"a study and a trial's number, such as mine:3"),
        ("tyni:0", StudyError, r"no study 'tyni'.*did you mean 'tiny'"),
        ("nowhere/network.json", ExportError, r"nowhere/network\.json: No such file"),
        ("other.json", ExportError, r"other\.json is not a network that"),
        ("foreign.json", ConfigError, r"belongs to family 'r3d', not 'x3d'"),
    ):
        wrong = dataclasses.replace(config, name="new", start=start, data="not/there")
        with pytest.raises(error, match=said):
            run_study(wrong)
