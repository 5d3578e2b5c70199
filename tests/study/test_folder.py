from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.core.errors import ConfigError, StudyError
from expand3d.study.folder import (
    check_name,
    find_study,
    hide_password,
    made_up_name,
    resume_command,
    study_command,
    study_folder,
    study_names,
)


@pytest.mark.parametrize("name", ["birds", "a", "quiet-heron-2", "v1.2_b", "x" * 64])
def test_portable_names_are_kept(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("my birds", "my-birds"),
        ("../up", "up"),
        ("-flag", "flag"),
        (".hidden", "hidden"),
        ("dot.", "dot"),
        ("con", "study-con"),
        ("NUL.txt", "study-NUL.txt"),
        ("", "study"),
        ("x" * 65, "x" * 64),
        ("vögel", "v-gel"),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"the nearest is '{nearest}'"):
        check_name(name)
    assert check_name(nearest) == nearest


def test_made_up_names_are_portable_and_new() -> None:
    taken: list[str] = []
    for _ in range(4):
        name = made_up_name(taken, seed=3)
        assert check_name(name) == name and name not in taken
        taken.append(name)
    assert taken[1:] == [f"{taken[0]}-{number}" for number in (2, 3, 4)]
    assert len({made_up_name([]) for _ in range(50)}) > 5


def test_a_missing_study_is_named_with_the_nearest(tmp_path: Path) -> None:
    for name in ("birds", "fish"):
        study_folder(name, tmp_path).make().database.touch()
    (tmp_path / "notes").mkdir()
    assert study_names(tmp_path) == ["birds", "fish"]
    assert find_study("fish", tmp_path).database == tmp_path / "fish" / "study.db"
    with pytest.raises(StudyError, match=r"no study 'bird' in .* \(did you mean 'birds'\?\)"):
        find_study("bird", tmp_path)
    with pytest.raises(StudyError, match="no study 'x' in nowhere;"):
        find_study("x", "nowhere")


def test_the_resume_command_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resume_command("birds") == f"expand3d resume birds --root {tmp_path}/studies"
    assert (
        resume_command("birds", root="/r", storage="mysql://u:p@h/d")
        == "expand3d resume birds --root /r --storage mysql://u:***@h/d"
    )
    assert hide_password("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


@pytest.mark.parametrize(
    ("root", "storage", "where"),
    [
        ("studies", None, " --root {here}/studies"),
        ("there", None, " --root {here}/there"),
        ("my studies", None, " --root '{here}/my studies'"),
        ("/r/[x]", None, " --root '/r/[x]'"),
        ("studies", "sqlite:///one.db", " --root {here}/studies --storage sqlite:///{here}/one.db"),
        ("studies", "sqlite:////a/one.db", " --root {here}/studies --storage sqlite:////a/one.db"),
        (
            "studies",
            "postgresql://u:p@h/d",
            " --root {here}/studies --storage postgresql://u:***@h/d",
        ),
        (
            *("studies", "mysql://u:p@h/d?a=b&c=d"),
            " --root {here}/studies --storage 'mysql://u:***@h/d?a=b&c=d'",
        ),
    ],
)
def test_a_command_about_a_study_works_in_any_folder(
    root: str, storage: str | None, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = study_command("report", "birds", "--out x", root=root, storage=storage)
    assert command == f"expand3d report birds{where.format(here=tmp_path)} --out x"


def test_a_start_that_failed_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path).make()
    folder.lock.touch()
    (folder.weights / "winner").touch()
    folder.empty()
    assert folder.lock.is_file() and (folder.weights / "winner").is_file()
    (folder.weights / "winner").unlink()
    folder.database.touch()
    folder.empty()
    assert folder.weights.is_dir() and folder.lock.is_file()
    folder.database.unlink()
    folder.empty()
    assert list(folder.path.iterdir()) == []
