"""A study whose videos moved goes on as if they had not: the same content under other names."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path

import pytest

from expand3d.core.errors import DataError, StudyError
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.study.config import StudyConfig
from expand3d.study.record import DATA, Record
from tests.helpers.study_config import stop_after

pytestmark = pytest.mark.usefixtures("light")


class Notes(Watch):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def folders(videos: Path, tmp_path: Path) -> Path:
    """The clips in class folders: day/ and night/."""
    home = tmp_path / "folders"
    for row in rows_of(videos):
        name = {"0": "day", "1": "night"}[row["label"]]
        (home / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(videos.parent / row["path"], home / name / row["path"])
    return home


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


def write_list(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def scores(root: str) -> dict[int, object]:
    record = Record.open("tiny", root=root)
    return {
        trial.number: {key: training.scores for key, training in trial.trainings.items()}
        for trial in record.trials()
    }


def whole(config: StudyConfig, root: Path) -> dict[int, object]:
    """The study's outcome where nothing moves."""
    run_study(dataclasses.replace(config, root=str(root)))
    return scores(str(root))


def test_a_list_of_other_relative_paths_in_another_order(
    config: StudyConfig, videos: Path, tmp_path: Path
) -> None:
    expected = whole(config, tmp_path / "whole")
    run_study(config, stop=stop_after(4))
    rows = rows_of(videos)
    (tmp_path / "disk" / "clips").mkdir(parents=True)
    for number, row in enumerate(rows):
        shutil.copy(videos.parent / row["path"], tmp_path / "disk" / "clips" / f"{number:03}.mp4")
    moved = [{**row, "path": f"../disk/clips/{n:03}.mp4"} for n, row in enumerate(rows)]
    listed = write_list(tmp_path / "lists" / "mine.csv", moved[::-1])
    watch = Notes()
    outcome = resume_study("tiny", root=config.root, changes={"data": str(listed)}, watch=watch)
    assert outcome.finished
    assert scores(config.root) == expected
    (said,) = [note for note in watch.notes if "same content, other names" in note]
    assert "clip0.mp4 is now ../disk/clips/000.mp4 and 23 more" in said


def test_a_class_folder_under_another_name(
    config: StudyConfig, folders: Path, tmp_path: Path
) -> None:
    """The last of the classes now: labels are by name."""
    config = dataclasses.replace(config, data=str(folders))
    expected = whole(config, tmp_path / "whole")
    run_study(config, stop=stop_after(4))
    before = Record.open("tiny", root=config.root).attribute(DATA)
    (folders / "day").rename(folders / "sunlit")
    watch = Notes()
    outcome = resume_study("tiny", root=config.root, watch=watch)
    assert outcome.finished
    assert scores(config.root) == expected
    assert Record.open("tiny", root=config.root).attribute(DATA) == before
    (said,) = [note for note in watch.notes if "same content, other names" in note]
    assert "day/clip0.mp4 is now sunlit/clip0.mp4 and 11 more" in said


def test_moved_and_changed_is_refused_by_what_changed(
    config: StudyConfig, folders: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, data=str(folders))
    run_study(config, stop=stop_after(2))
    (folders / "day").rename(folders / "sunlit")
    gone = folders / "sunlit" / "clip4.mp4"
    content = gone.read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(StudyError, match=match):
            resume_study("tiny", root=config.root)

    folders.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"no such file or folder.*; where the videos moved, name"):
        resume_study("tiny", root=config.root)
    (tmp_path / "elsewhere").rename(folders)
    gone.unlink()
    refused(r"not what it began with: day/clip4\.mp4 is missing; restore it")
    shutil.copy(folders / "night" / "clip3.mp4", gone)
    refused(r"not what it began with: day/clip4\.mp4 is missing; restore it")
    gone.write_bytes(content)
    (folders / "sunlit" / "clip2.mp4").rename(folders / "night" / "clip2.mp4")
    refused(r"not what it began with: labels, groups, splits or their order differ")
