"""A run speaks of its videos before it trains: films on two sides, groups in names, skipped."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from expand3d.core.errors import ConfigError, DataError
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.changes import check_resume, differences
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.made_videos import greys, write_video


class Notes(Watch):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two classes of eight films each, in class folders; names say group and number."""
    home = tmp_path / "films"
    for number in range(16):
        name = ("run", "walk")[number % 2]
        path = home / name / f"v_{name}_g{number // 4:02}_c{number:02}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, greys(range(40 + 10 * number, 80 + 10 * number, 1)))
    return home


def prepared(config: StudyConfig, watch: Watch | None = None, **keys: object) -> Prepared:
    return prepare(dataclasses.replace(config, **keys).called("tiny"), watch or Watch())


def test_two_lists_are_the_parts(config: StudyConfig, films: Path, tmp_path: Path) -> None:
    rows = [
        f"films/{path.relative_to(films)} {int(path.parent.name == 'walk')}"
        for path in films.rglob("*.mp4")
    ]
    (tmp_path / "first.txt").write_text("\n".join(rows[2:]))
    (tmp_path / "second.txt").write_text("\n".join(rows[:2]))
    ready = prepared(
        config, data=str(tmp_path / "first.txt"), val_data=str(tmp_path / "second.txt")
    )
    chosen = {ready.store.keys[index] for index in ready.clips.parts.val}
    assert chosen == {row.split()[0] for row in rows[:2]}
    assert len(ready.clips.parts.train) == 14 and not ready.clips.parts.test


def test_the_second_list_moves_with_the_data(tmp_path: Path) -> None:
    before = StudyConfig(budget="1G", data="train.txt", val_data="val.txt", name="a")
    assert before.absolute().val_data == str(Path("val.txt").resolve())
    after = dataclasses.replace(before, val_data="elsewhere/val.txt")
    check_resume(before, after)
    for old, new in ((before, dataclasses.replace(before, val_data=None)), (before, after)):
        assert differences(old, new).allowed == differences(new, old).allowed == ("val_data",)
    with pytest.raises(ConfigError, match="stands beside a list of the training part; set data"):
        StudyConfig(budget="1G", val_data="val.txt")


def test_a_film_on_two_sides_is_refused_unless_it_is_allowed(
    config: StudyConfig, films: Path
) -> None:
    for path in sorted(films.rglob("*.mp4")):
        shutil.copy(path, path.with_name(f"again_{path.name}"))
    # Half of all clips choose, so that some copy of sixteen stands opposite its film.
    drawn = dataclasses.replace(config, data=str(films), val=0.5, test=0.0)
    with pytest.raises(DataError) as refused:
        run_study(drawn)
    text = str(refused.value)
    assert "stand on two sides: run/again_v_run" in text and "in the parts train and val" in text
    assert text.endswith("(keep one of each, or go on with all of them by --allow-same)")
    assert not (Path(config.root) / "tiny" / "study.db").exists()
    watch = Notes()
    prepared(drawn, watch, allow_same=True)
    assert [line for line in watch.lines if "stand on two sides" in line]


def test_folds_are_sides_and_so_are_labels(config: StudyConfig, films: Path) -> None:
    first = min(films.rglob("*.mp4"))
    keys = {"data": str(films), "val": 0.25, "test": 0.0}
    for number in range(3):
        shutil.copy(first, first.with_name(f"copy{number}.mp4"))
    with pytest.raises(DataError, match=r"in the parts fold \d and fold \d"):
        prepared(config, folds=4, **keys)
    shutil.copy(first, films / "walk/other.mp4")
    with pytest.raises(DataError, match="under the labels run and walk"):
        prepared(config, **keys)


def test_a_study_that_has_begun_goes_on_with_its_films(config: StudyConfig, films: Path) -> None:
    first = min(films.rglob("*.mp4"))
    shutil.copy(first, films / "walk/other.mp4")
    began = dataclasses.replace(config, data=str(films), allow_same=True, budget="0.02GFLOPs")
    outcome = run_study(began)
    assert outcome is not None and outcome.finished
    record = Record.open("tiny", root=config.root)
    kept = record.config()
    assert kept.allow_same
    watch = Notes()
    ready = prepare(
        dataclasses.replace(kept, allow_same=False), watch, began=record.attribute("data")
    )
    assert ready.clips.identity() == {
        key: value for key, value in record.attribute("data").items() if key != "split_rule"
    }
    assert [line for line in watch.lines if "stand on two sides" in line]
    assert resume_study("tiny", root=config.root).finished


def test_groups_in_names_are_noted_and_used(config: StudyConfig, films: Path) -> None:
    watch = Notes()
    prepared(config, watch, data=str(films))
    (note,) = [line for line in watch.lines if "groups" in line and "names carry" in line]
    assert "--group-by-name of `run`" in note
    watch = Notes()
    ready = prepared(config, watch, data=str(films), group_by_name=True)
    assert not [line for line in watch.lines if "names carry" in line]
    assert set(ready.store.groups) == {
        f"v_{name}_g0{group}" for name in ("run", "walk") for group in range(4)
    }
    part = ready.clips.parts.part_of()
    sides = {(ready.store.groups[index], part[index]) for index in range(16)}
    assert len(sides) == 8


def test_ten_skipped_videos_are_named_and_the_others_counted(
    config: StudyConfig, films: Path
) -> None:
    for number in range(13):
        (films / "run" / f"bad{number:02}.mp4").touch()
    watch = Notes()
    prepared(config, watch, data=str(films), skip_bad=True)
    skipped = [line for line in watch.lines if line.startswith("skipped")]
    assert skipped == [
        *(f"skipped run/bad{number:02}.mp4: empty (0 bytes)" for number in range(10)),
        f"skipped 3 more; `expand3d data check {films}` lists them all",
    ]


def test_no_clip_is_mirrored_where_a_mirror_exchanges_classes(
    config: StudyConfig, films: Path
) -> None:
    notes = Notes()
    flipped = {**config.recipe, "flip": True}
    ready = prepared(config, notes, data=str(films), recipe=flipped)
    assert ready.config.training_recipe().flip and ready.bench.recipe.flip
    for old, new in (("run", "Swiping Left"), ("walk", "Swiping Right")):
        (films / old).rename(films / new)
    ready = prepared(config, notes, data=str(films), recipe=flipped)
    assert not ready.config.training_recipe().flip
    assert not ready.bench.recipe.flip and not ready.final.recipe.flip
    assert "flip = true is not taken: a mirror exchanges 2 classes" in "\n".join(notes.lines)
