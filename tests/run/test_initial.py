"""A study that begins with weights: what it keeps of them, and which it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError, StudyError, UserError, WeightsError
from expand3d.core.trial import SCRATCH
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.start import weights_left
from expand3d.study.config import StudyConfig
from expand3d.study.record import INITIAL, Record
from tests.helpers.made_videos import write_data_set
from tests.helpers.study_config import tiny

LAST = {"clip_visits": 8, "epochs": None, "batch": 8, "bn_batch": 8, "test_views": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other videos of the same classes."""
    return write_data_set(tmp_path_factory.mktemp("elsewhere"), clips=24, classes=2, frames=37)


@pytest.fixture
def parent(videos: Path, root: Path) -> StudyConfig:
    """A study of the base alone, with the weights of its winner."""
    config = tiny(videos, root)
    config = dataclasses.replace(
        config, name="origin", budget="0.021GFLOPs", final=True, final_recipe=LAST
    )
    if not (root / "origin").exists():
        run_study(config)
    return config


def child(config: StudyConfig, name: str, data: Path, init: str) -> StudyConfig:
    return dataclasses.replace(
        config, name=name, data=str(data), init=init, final=False, final_recipe={}
    )


def exported(config: StudyConfig, out: Path) -> Path:
    assert main(["export", "origin", "--root", config.root, "--to", "json", "--out", str(out)]) == 0
    return out


def test_an_export_knows_the_clips_that_trained_it(parent: StudyConfig, tmp_path: Path) -> None:
    """All but those of the test part: the last training saw the validation part."""
    out = exported(parent, tmp_path / "out")
    kept = json.loads((out / "network.json").read_text())["provenance"]["training_clips"]
    record = Record.open("origin", root=parent.root)
    final = record.final()
    assert final is not None
    clips = record.attribute("data")["clips"]
    assert final["test_clips"] > 0 and len(kept) == len(clips) - final["test_clips"]
    assert set(kept) < set(clips.values())


@pytest.mark.parametrize("way", ["study", "folder"])
def test_weights_that_saw_clips_of_the_validation_part_are_refused(
    parent: StudyConfig, videos: Path, tmp_path: Path, way: str
) -> None:
    """The planted leak: same videos, same parts."""
    init = "origin" if way == "study" else str(exported(parent, tmp_path / "out"))
    with pytest.raises(WeightsError, match=r"was trained on .* of the clips that this study"):
        run_study(child(parent, f"leak-{way}", videos, init))


def test_a_copy_under_another_name_is_still_a_leak(
    parent: StudyConfig, videos: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(videos.parent, copies)
    manifest = copies / videos.name
    for clip in sorted(copies.glob("*.mp4")):
        clip.rename(copies / f"other-{clip.name}")
    manifest.write_text(manifest.read_text().replace("clip", "other-clip"))
    with pytest.raises(WeightsError, match="was trained on"):
        run_study(child(parent, "leak-copies", manifest, "origin"))


@pytest.mark.slow
def test_other_videos_begin_with_the_winners_weights(
    parent: StudyConfig, elsewhere: Path, tmp_path: Path
) -> None:
    out = exported(parent, tmp_path / "out")
    config = child(parent, "child", elsewhere, str(out))
    outcome = run_study(dataclasses.replace(config, executor="processes", workers=2))
    assert outcome is not None and outcome.finished
    record = Record.open("child", root=parent.root)
    kept = record.attribute(INITIAL)
    assert kept["sha"] != SCRATCH and len(kept["clips"]) > 0
    assert {trial.provenance["start"] for trial in record.trials()} == {kept["sha"]}
    assert record.config().init == str(out)
    # What trained its parent counts as what trained it.
    assert set(kept["clips"]) < set(record.clips_of_last())
    scratch = run_study(child(parent, "scratch", elsewhere, SCRATCH))
    assert scratch is not None and scratch.finished
    plain = Record.open("scratch", root=parent.root)
    assert plain.attribute(INITIAL) is None and "init" not in plain.config().to_json()
    identities = [each.trials()[0].provenance["identity"] for each in (record, plain)]
    assert identities[0] != identities[1]
    assert record.trials()[0].scores() != plain.trials()[0].scores()


def test_a_study_goes_on_with_the_same_weights_or_not_at_all(
    parent: StudyConfig, elsewhere: Path, tmp_path: Path
) -> None:
    out = exported(parent, tmp_path / "out")
    run_study(child(parent, "again", elsewhere, str(out)))
    weights = out / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\0\0\0\0")
    with pytest.raises(StudyError, match="other weights than when the study began"):
        resume_study("again", root=parent.root)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("nosuch", "nosuch"),
        ("./nosuch", "nosuch"),
        ("child-without-winner", "no weights of a winner"),
        ("X3D_M.pyth", "with expand3d import"),
        ("./out/weights.safetensors", "with expand3d import"),
    ],
)
def test_what_is_not_there_is_named(
    parent: StudyConfig, elsewhere: Path, init: str, words: str
) -> None:
    if init == "child-without-winner":
        run_study(child(parent, init, elsewhere, SCRATCH))
    with pytest.raises(UserError, match=words):
        run_study(child(parent, "none", elsewhere, init))


def test_another_family_is_named(parent: StudyConfig, elsewhere: Path) -> None:
    config = dataclasses.replace(
        child(parent, "r3d", elsewhere, "origin"), family="r3d", budget="1GFLOPs"
    )
    with pytest.raises(ConfigError, match="of family 'x3d', not 'r3d'"):
        run_study(config)


@pytest.mark.parametrize("way", ["study", "folder", "file"])
def test_a_start_says_that_its_weights_are_not_used(
    parent: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    final = Record.open("origin", root=parent.root).final()
    assert final is not None
    if way == "study":
        start, init, file = f"origin:{final['trial']}", "origin", "winner.safetensors"
    else:
        exported(parent, Path("out"))
        start = "./out" if way == "folder" else "out/network.json"
        init, file = "./out", "weights.safetensors"
    note = weights_left(start, "scratch", root=parent.root)
    assert note == (
        f"--start takes the network of {start} alone, and its weights, {file}, are not used; "
        f"--init {init} begins with them"
    )
    assert weights_left(start, init, root=parent.root) is None
    other = weights_left(start, "./elsewhere", root=parent.root)
    assert other == note


def test_a_start_without_weights_says_nothing(parent: StudyConfig, tmp_path: Path) -> None:
    assert weights_left("x3d-xs", "scratch", root=parent.root) is None
    final = Record.open("origin", root=parent.root).final()
    other = 0 if final and final["trial"] else 1
    assert weights_left(f"origin:{other}", "scratch", root=parent.root) is None
    out = exported(parent, tmp_path / "out")
    (out / "weights.safetensors").unlink()
    assert weights_left(str(out), "scratch", root=parent.root) is None


def test_a_run_tells_it_once(parent: StudyConfig, elsewhere: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    class Noted(Watch):
        def note(self, text: str) -> None:
            notes.append(text)

    out = exported(parent, tmp_path / "out")
    config = dataclasses.replace(
        child(parent, "started", elsewhere, "scratch"), start=str(out), budget="1G"
    )
    run_study(config, watch=Noted(), confirm=lambda: False)
    assert len([note for note in notes if note.startswith("--start takes")]) == 1
