"""`expand3d pretrain` as a user meets it: teachers of several kinds, a kill, a finished folder."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expand3d.cli.main import main
from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Genotype
from expand3d.core.process import environment
from expand3d.interop.json_folder import load_export, write
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family, get_preset
from expand3d.run.teacher import load_teacher
from expand3d.training.tasks.transfer import Teacher
from tests.helpers.made_videos import greys, write_data_set, write_video

IMAGE = get_family("t3d").base.replace(kernel=1, stem_kernel=1, ttl=0, gamma_s=32 / 112)
HALF = ["--fps", "15"]
LENGTH = ["--clip-visits", "48", "--batch", "8"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("videos"), clips=16, classes=2, frames=12)


@pytest.fixture(scope="module")
def clip_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(autouse=True)
def _cache(clip_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(clip_cache))


def exported(folder: Path, genotype: Genotype, *, weights: bool = True) -> Path:
    """A network as `expand3d export --to json` writes it, its weights drawn at random."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=4)
    torch.manual_seed(1)
    file = folder.with_suffix(".safetensors")
    save_file(family.build(plan).state_dict(), file)
    folder.mkdir()
    write(ExportedNetwork("s", 0, genotype, plan, {}, weights=file if weights else None), folder)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("teacher") / "image", IMAGE)


def words(videos: Path, teacher: Path, out: Path) -> list[str]:
    small = ["--set", "gamma_t=2", "--set", f"gamma_s={32 / 112}"]
    where = ["--data", str(videos), "--teacher", str(teacher), "--out", str(out)]
    return ["pretrain", "t3d", *where, *small, *LENGTH, "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def finished(
    videos: Path, teacher: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("out") / "pretrained"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        assert main(words(videos, teacher, out)) == 0
    return out


def test_the_folder_is_an_exported_network_with_its_log(finished: Path, teacher: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "network.json",
        "weights.safetensors",
        "pretrain.jsonl",
    }
    network = load_export(finished)
    assert (network.plan.family, network.plan.frames, network.plan.num_classes) == ("t3d", 2, 2)
    score = network.scores["held-out pairs"]
    assert score["chance"] == 0.5 and 0 <= score["accuracy"] <= 1 and score["pairs"] >= 4
    assert network.provenance["teacher"]["file"] == str(teacher)
    assert network.build()(torch.zeros(1, 3, 2, 32, 32)).shape == (1, 2)
    rows = [json.loads(line) for line in (finished / "pretrain.jsonl").read_text().splitlines()]
    assert [row["clip_visits"] for row in rows] == [8, 16, 24, 32, 40, 48]
    assert rows[0].keys() == {"step", "clip_visits", "loss", "pair_accuracy", "lr"}


#: The command in a process that is killed as soon as it has written a checkpoint.
KILLED = """
import os, signal, sys
from expand3d.cli.main import main
from expand3d.training.checkpoint import Checkpointer

write = Checkpointer.write

def write_and_die(self, state):
    write(self, state)
    os.kill(os.getpid(), signal.SIGKILL)

Checkpointer.write = write_and_die
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_to_the_same_bits(
    finished: Path, videos: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, *words(videos, teacher, out)]
    killed = subprocess.run(command, env=environment(), stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    assert (out / "checkpoint.pt").exists() and not (out / "network.json").exists()
    assert main(words(videos, teacher, out)) == 0
    for name in ("weights.safetensors", "pretrain.jsonl"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert not (out / "checkpoint.pt").exists()


def test_a_finished_folder_is_not_made_again(
    finished: Path, videos: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "network.json").stat().st_mtime_ns
    assert main([*words(videos, teacher, finished), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["out"] == str(finished) and "nothing is left to do" in said.err
    assert main([*words(videos, teacher, finished), "--seed", "3"]) == 2
    assert "another seed" in capsys.readouterr().err
    assert (finished / "network.json").stat().st_mtime_ns == before


def test_a_finished_folder_is_of_the_frames_that_it_learned_from(
    finished: Path,
    videos: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = shutil.copytree(videos.parent, tmp_path / "videos") / "manifest.csv"
    assert main(words(other, teacher, finished)) == 0  # it has only moved
    write_video(other.parent / "clip3.mp4", greys(range(12)))
    before = shutil.copytree(finished, tmp_path / "before")
    network = json.loads((before / "network.json").read_text())
    del network["provenance"]["belongs"]["clip content, rate or size"]
    (before / "network.json").write_text(json.dumps(network))
    assert main(words(videos, teacher, before)) == 0
    capsys.readouterr()
    for folder in (finished, before):  # `before` is as an earlier version left it
        for changed in (words(other, teacher, folder), [*words(videos, teacher, folder), *HALF]):
            assert main(changed) == 2
            assert "another clip content, rate or size" in capsys.readouterr().err


def test_mistakes_are_said_before_anything_is_decoded(
    videos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = words(videos, teacher, tmp_path / "out")
    for more, said in (
        (["--set", "growth=3"], "t3d has no factor 'growth'"),
        (["--preset", "c3d"], "--preset c3d is of family c3d"),
        (["--teacher", str(tmp_path / "nowhere")], "nowhere: there is no such file"),
        (["--out", str(teacher)], "is not empty"),
        (["--lr", "-1"], "--lr: '-1' must be a number above 0"),
    ):
        assert main([*good, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def features(found: Teacher, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return found.network(images)


def test_a_state_dict_of_ours_is_the_network_it_was(tmp_path: Path) -> None:
    """With our names, a teacher's pixels are normalised as ours are."""
    preset = get_preset("densenet-121")
    folder = exported(tmp_path / "net", preset.genotype)
    state = load_file(folder / "weights.safetensors")
    state = {name: value for name, value in state.items() if not name.startswith("head.fc")}
    state |= {"head.fc.weight": torch.zeros(1000, 1024), "head.fc.bias": torch.zeros(1000)}
    save_file(state, tmp_path / "w.safetensors")
    found = load_teacher(tmp_path / "w.safetensors", preset="densenet-121")
    images = torch.randn(1, 3, 1, 64, 64)
    assert torch.equal(features(found, images), features(load_teacher(folder), images))
    assert (found.width, found.crop, found.mean, found.std) == (
        1024,
        224,
        (0.45,) * 3,
        (0.225,) * 3,
    )
    assert not any(value.requires_grad for value in found.network.parameters())


def torchvision_name(name: str) -> str:
    """The name of a tensor of our DenseNet in torchvision's older files."""
    for pattern, theirs in (
        (r"stem\.conv\.conv", "features.conv0"),
        (r"stem\.conv\.bn", "features.norm0"),
        (
            r"block(\d)\.layer(\d+)\.new\.(norm|conv)(\d)",
            r"features.denseblock\1.denselayer\2.\3.\4",
        ),
        (r"transition(\d)", r"features.transition\1"),
        (r"head\.norm", "features.norm5"),
        (r"head\.fc", "classifier"),
    ):
        name = re.sub(rf"^{pattern}\b", theirs, name)
    return name


def test_an_image_network_of_torchvision_teaches_in_its_own_normalisation(tmp_path: Path) -> None:
    folder = exported(tmp_path / "net", get_preset("densenet-121").genotype)
    theirs = {
        torchvision_name(name): value.squeeze(2) if value.ndim == 5 else value
        for name, value in load_file(folder / "weights.safetensors").items()
        if not name.endswith("num_batches_tracked")  # older files have none
    }
    assert theirs["features.denseblock4.denselayer16.conv.2.weight"].shape == (32, 128, 3, 3)
    torch.save({"state_dict": theirs}, tmp_path / "densenet121.pth")
    found = load_teacher(tmp_path / "densenet121.pth", preset="densenet-121")
    images = torch.randn(1, 3, 1, 64, 64)
    assert torch.equal(features(found, images), features(load_teacher(folder), images))
    assert found.mean == (0.485, 0.456, 0.406) and found.std == (0.229, 0.224, 0.225)


def test_teachers_that_cannot_teach_are_named(tmp_path: Path) -> None:
    bare = exported(tmp_path / "bare", IMAGE, weights=False)
    with pytest.raises(WeightsError, match="bare holds an architecture without weights"):
        load_teacher(bare)
    clips_only = get_family("c3d").base.replace(
        gamma_t=16, gamma_w=1 / 16, gamma_s=32 / 112, pool_padding=1
    )
    folder = exported(tmp_path / "clips", clips_only)
    with pytest.raises(WeightsError, match=r"reads no single frames: .* the smallest is 16 x 16"):
        load_teacher(folder)
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="name one with --teacher-preset"):
        load_teacher(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt is no file of weights"):
        load_teacher(tmp_path / "w.pt", preset="densenet-121")
    torch.save({"fc.weight": torch.zeros(2, 3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt as densenet-121: "):
        load_teacher(tmp_path / "other.pt", preset="densenet-121")


def test_force_begins_anew(
    finished: Path,
    videos: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(finished, tmp_path / "again")
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    half = [*words(videos, teacher, folder), "--clip-visits", "24"]
    assert main(half) == 2
    assert "choose a new folder, or add --force" in capsys.readouterr().err
    assert main([*half, "--force"]) == 0
    assert [
        len((each / "pretrain.jsonl").read_text().splitlines()) for each in (finished, folder)
    ] == [6, 3]
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert main(half) == 0
    assert "nothing is left to do" in capsys.readouterr().err
