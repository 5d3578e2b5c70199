"""`expand3d train` as a user meets it: presets, trials, a kill, a finished folder, the record."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.extras import Extras
from expand3d.core.process import environment
from expand3d.interop.json_folder import load_export, write_description
from expand3d.interop.network import ExportedNetwork
from expand3d.networks.families.x3d import FAMILY
from expand3d.report.study.view import load_view
from expand3d.run.driver import run_study
from expand3d.study.lock import StudyLock
from expand3d.study.record import Record
from tests.helpers.killed import KILLED
from tests.helpers.made_videos import write_data_set
from tests.helpers.study_config import tiny, without_timing

SHORT = ["--clip-visits", "48", "--batch", "8", "--accumulate", "2", "--threads", "1"]
BOARD = ["--tensorboard"] if find_spec("tensorboardX") else []
WAYS = ["--ema", "0.8", "--precise-bn", "2", "--recipe", "test_views=1", "--device", "cpu"]


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("videos"), clips=16, classes=2, frames=12)


@pytest.fixture(scope="module")
def root(videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study of one network, called tiny."""
    found = tmp_path_factory.mktemp("studies")
    factors = {"gamma_w": 1 / 3, "gamma_d": 0.2, "gamma_s": 32 / 112, "gamma_t": 2.0}
    genotype = FAMILY.base.replace(**factors)
    start = found / "network.json"
    network = ExportedNetwork("start", 0, genotype, FAMILY.resolve(genotype, num_classes=2), {})
    write_description(network, found, weights=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        without_timing(patch)
        config = tiny(videos, found)
        run_study(dataclasses.replace(config, budget="0.47MFLOPs", start=str(start)))
    return found


def words(network: str, root: Path, *more: str) -> list[str]:
    return ["train", network, "--root", str(root), *SHORT, *WAYS, *more]


@pytest.fixture(scope="module")
def finished(root: Path, clip_cache: Path) -> Path:
    """The folder of the trial's training in full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        assert main(words("tiny:0", root, *BOARD)) == 0
    return root / "tiny" / "trained" / "trial-000"


def test_a_trial_joins_its_study_and_is_exported(
    finished: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.name for path in finished.iterdir()} == {
        *("network.json", "weights.safetensors", "best.safetensors", "train.jsonl"),
        *("training.json", *(["tensorboard"] if BOARD else [])),
    }
    view = load_view("tiny", root=root)
    kept = view.trained[0]
    assert kept.training.status == "ok" and kept.score is not None and kept.weights is not None
    assert kept.weights.samefile(finished / "weights.safetensors")
    assert "of the test part, never used for choosing" in kept.measured_on
    assert view.trial(0).trainings.keys() == {next(iter(view.trial(0).trainings))}
    out = tmp_path / "exported"
    assert main(["export", "tiny", "--root", str(root), "--to", "json", "--out", str(out)]) == 0
    assert "with weights" in capsys.readouterr().out
    exported = load_export(out)
    assert exported.recipe["batch"] == 8 and "final" in exported.scores
    clips = torch.rand(1, 3, exported.plan.frames, 32, 32)
    assert torch.equal(exported.build()(clips), load_export(finished).build()(clips))


def test_status_tells_of_it(finished: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "tiny", "--root", str(root)]) == 0
    assert "trained in full, trial 0: top-1 " in capsys.readouterr().out
    assert main(["status", "tiny", "--root", str(root), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["trained"]
    assert told["trial"] == 0 and Path(told["weights"]).is_file()


def test_a_study_is_evaluated_and_predicts(
    finished: Path, root: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--root", str(root), "--threads", "1", "--device", "cpu", "--json"]
    for name in ("tiny", "tiny:0"):
        assert main(["eval", name, "--clips", "1", *where]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["part"], found["seen_in_training"]) == ("test", 0)
        assert found["clips"] == len(load_view("tiny", root=root).trained[0].training.scores)
    assert main(["eval", "tiny", "--part", "train", *where]) == 2
    assert "trained this network" in capsys.readouterr().err
    assert main(["predict", "tiny", str(videos.parent / "clip0.mp4"), *where]) == 0
    ((span,),) = [each["spans"] for each in json.loads(capsys.readouterr().out)]
    assert span["label"] in ("class0", "class1") and span["end"] == pytest.approx(0.4)


def test_a_trial_without_weights_is_named(
    finished: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "tiny", tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "trained")
    where = ["--root", str(tmp_path)]
    assert main(["eval", "tiny:0", *where]) == 2
    assert "the weights of trial 0, is missing" in capsys.readouterr().err
    assert main(["eval", "tiny:7", *where]) == 2
    assert "has no trial 7" in capsys.readouterr().err


def test_the_learning_rate_goes_with_the_batch(finished: Path) -> None:
    recipe = load_export(finished).recipe
    assert (recipe["profile"], recipe["batch"], recipe["bn_batch"]) == ("paper", 8, 4)
    assert recipe["lr"] == pytest.approx(0.05 * 8 / 64)


def test_it_is_said_what_is_trained(
    finished: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished by now: nothing is trained again, and the outcome is the same."""
    before = (finished / "network.json").stat().st_mtime_ns
    assert main([*words("tiny:0", root), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["in_record"] and found["kept"] == "last" and "nothing is left" in said.err
    assert set(found["scores"]) == {"test", "best by validation, one view"}
    assert (finished / "network.json").stat().st_mtime_ns == before
    assert main([*words("tiny:0", root), "--seed", "4"]) == 2
    assert "holds the result of another seed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(
    finished: Path, root: Path, videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = words("tiny:0", root, "--out", str(out))
    run = [sys.executable, "-c", KILLED, *command]
    killed = subprocess.run(run, env=environment(), stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    assert (out / "checkpoint.pt").exists() and not (out / "network.json").exists()
    assert main(command) == 0
    for name in ("weights.safetensors", "best.safetensors", "train.jsonl"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert not (out / "checkpoint.pt").exists()


def test_a_preset_is_fine_tuned_from_a_folder(
    finished: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On other classes, so that the last layer is new; without a test part, by choice."""
    out = tmp_path / "tuned"
    command = ["train", str(finished), "--init", str(finished), "--data", str(videos)]
    assert main([*command, *SHORT, *WAYS, "--seed", "5", "--out", str(out)]) == 2
    assert "was trained on" in capsys.readouterr().err  # clips of this seed's test part
    more = ["--test", "0", "--with-val", "--balance", "resample", "--mixup", "0.2", "--json"]
    network = json.loads((finished / "network.json").read_text())
    network["provenance"]["training_clips"] = []
    (finished.parent / "published").mkdir()
    published = finished.parent / "published"
    (published / "network.json").write_text(json.dumps(network))
    os.link(finished / "weights.safetensors", published / "weights.safetensors")
    command = ["train", str(published), "--init", str(published), "--data", str(videos)]
    assert main([*command, *SHORT, *WAYS, *more, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"] == {} and found["measured_on"] == "no clips"
    kept = load_export(out).provenance
    assert kept["begun_from"] != "scratch" and kept["extras"]["mixup"] == 0.2


def test_a_study_that_runs_is_joined_later(
    finished: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record.open("tiny", root=root)
    record.set_attribute("trained/0", {"trial": 0})
    with StudyLock(record.folder):
        assert main(words("tiny:0", root)) == 2
        assert "is being run" in capsys.readouterr().err
    assert main(words("tiny:0", root)) == 0
    assert load_view("tiny", root=root).trained[0].score is not None


@pytest.mark.skipif(not BOARD, reason="no tensorboardX here")
def test_tensorboard_is_written_by_choice(finished: Path) -> None:
    (events,) = (finished / "tensorboard").iterdir()
    content = events.read_bytes()
    assert content.count(b"train/loss") == 6 and b"epoch/val_top1" in content


def test_a_full_disk_is_one_line(
    root: Path,
    tmp_path: Path,
    full_disk: Callable[[int], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with full_disk(100_000):  # less than the weights need
        assert main(words("tiny", root, "--out", str(out))) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert str(out) in error and "the last good checkpoint stays" in error
    assert [path.name for path in out.iterdir()] == ["train.jsonl"]


def mistakes() -> list[tuple[list[str], str]]:
    return [
        (["nowhere"], "no study 'nowhere'"),
        (["tiny:9"], "has no trial 9"),
        (["tiny:x"], "must be a study and a trial's number"),
        (["x3d-s"], "--out DIR is needed"),
        (["tiny", "--init", "./nothing"], "nothing"),
        (["tiny", "--init", "./X3D_S.pyth"], "make a folder of it first"),
        (["tiny", "--ema", "2"], "ema = 2.0 must lie in"),
        (["tiny", "--accumulate", "3"], "--accumulate 3 must divide the batch of 8"),
        (["tiny", "--recipe", "multigrid=true"], "multigrid = True must be 'off', 'long'"),
        (["tiny", "--recipe", "epoch=3"], "did you mean 'epochs'"),
        (["tiny", "--epochs", "3"], "not allowed with argument"),
        (["tiny", "--with-val", "--keep", "best"], "--keep best needs the validation part"),
        (["tiny", "--frontier", "--out", "x"], "leave --out out"),
    ]


@pytest.mark.parametrize(("more", "said"), mistakes(), ids=lambda value: " ".join(value)[:30])
def test_mistakes_are_one_line(
    more: list[str], said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, *rest = more
    assert main([*words(network, root), *rest]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_folder_of_something_else_is_left_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(words("tiny", root, "--out", str(tmp_path))) == 2
    assert "is not empty" in capsys.readouterr().err


def test_every_network_of_the_frontier_is_trained(
    finished: Path, root: Path, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert main([*words("tiny", root), "--frontier", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["network"] for each in found] == ["tiny, trial 0"]
    assert [each["extras"] for each in found] == [Extras(ema=0.8, precise_bn=2).to_json()]


def test_a_network_that_reads_flow_has_it_computed(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prepared, not trained: those networks are large."""
    pytest.importorskip("cv2")
    from expand3d.core.recipe import get_profile
    from expand3d.data.flow.store import FlowStore
    from expand3d.networks import get_preset
    from expand3d.run.events import Watch
    from expand3d.run.train import Wanted, _belongs, prepare_training
    from expand3d.study.sections import Data, Execution

    wanted = Wanted(
        title="flow",
        genotype=get_preset("twostream-cnnm-flow").genotype,
        data=Data(data=str(videos)),
        execution=Execution(threads=1, device="cpu"),
        out=tmp_path / "out",
        recipe=get_profile("final"),
    )
    ready = prepare_training(wanted, Watch())
    assert isinstance(ready.bench.store, FlowStore)
    assert ready.bench.store.missing(range(16)) == []
    slower = dataclasses.replace(wanted, data=Data(data=str(videos), flow_distance=2))
    other = prepare_training(slower, Watch())
    assert _belongs(wanted, ready)["data"] != _belongs(slower, other)["data"]
