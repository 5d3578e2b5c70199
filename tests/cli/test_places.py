"""Places where nothing can be written: one line under every command, and nothing half is left."""

from __future__ import annotations

import argparse
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from expand3d.cli.main import main
from expand3d.core.process import environment
from expand3d.networks import get_family, get_preset
from tests.helpers.examples import examples
from tests.helpers.made_videos import write_data_set
from tests.helpers.studies import expanded, recorded

PRESET = "x3d-xs"
#: Ways in which a place cannot be: what a name begins with, below a folder of the test's own.
ROOTS = {
    "a file": "file",
    "a link to nowhere": "dangling",
    "a link to itself": "loop",
    "a name too long": "x" * 300,
    "a name with a null byte": "a\0b",
    "a device": "/dev/full/x",
    "a system's own": "/proc/nowhere",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two studies, videos, weights, and what stands in the way of folders."""
    import torch

    home = tmp_path_factory.mktemp("places")
    for name in ("heron", "egret"):
        recorded(expanded("0.1GFLOPs", name=name, clips=60), home / "studies")
    write_data_set(home / "videos", clips=6)
    preset = get_preset(PRESET)
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=preset.num_classes)
    torch.save(family.build(plan).state_dict(), home / "weights.pt")
    (home / "file").write_text("kept", encoding="utf-8")
    (home / "dangling").symlink_to(home / "no" / "where")
    (home / "loop").symlink_to(home / "loop")
    return home


@pytest.fixture(autouse=True)
def _cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(home / "cache"))


@pytest.fixture(autouse=True)
def _pictures_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn, and not painted: this is about the files alone."""

    def save(figure: Figure, file: IO[bytes], **how: Any) -> None:
        file.write(b"<svg></svg>")

    monkeypatch.setattr(Figure, "savefig", save)


def commands(home: Path, place: str) -> dict[str, list[str]]:
    """A command of every kind that writes, to a place."""
    videos, studies = str(home / "videos"), ["--root", str(home / "studies")]
    begun = ["--budget", "1GFLOPs", "--data", videos, "--study", "new", "--root", place]
    return {
        "run": ["run", *begun],
        "run --create": ["run", *begun, "--create"],
        "baselines": ["baselines", *begun],
        "run --storage": [
            "run",
            *begun[:-1],
            str(home / "new"),
            "--storage",
            f"sqlite:///{place}/x.db",
        ],
        "resume": ["resume", "heron", "--root", place],
        "worker": ["worker", "heron", "--root", place],
        "export": ["export", "heron", "--to", "json", *studies, "--out", place],
        "export --force": [
            *("export", "heron", "--to", "json", "--force", *studies, "--out", place)
        ],
        "export --frontier": [
            *("export", "heron", "--to", "json", "--frontier", *studies, "--out", place)
        ],
        "report": ["report", "heron", *studies, "--out", place],
        "report two": ["report", "heron", "egret", *studies, "--out", place, "--force"],
        "report --published": ["report", "--published", "--out", place],
        "import": ["import", str(home / "weights.pt"), "--preset", PRESET, "--out", place],
        "pretrain": ["pretrain", "motionnet", "--data", videos, "--out", place],
        "data show": ["data", "show", videos, "--out", place],
        "data split": ["data", "split", videos, "--out", place],
    }


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder, below a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def said_by(words: list[str]) -> tuple[int, str]:
    """The exit status of a command, and what it wrote to standard error."""
    err = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(err):
        return main(words), err.getvalue()


@settings(max_examples=examples(60))
@given(
    root=st.sampled_from(sorted(ROOTS)),
    below=st.lists(st.sampled_from(["a", "b c", "é"]), max_size=2),
    command=st.sampled_from(sorted(commands(Path(), ""))),
)
def test_a_place_that_cannot_be_written_is_one_line_and_nothing_half(
    home: Path, root: str, below: list[str], command: str
) -> None:
    before = everything(home)
    place = str(Path(home, ROOTS[root], *below))
    status, said = said_by(commands(home, place)[command])
    assert (status, said.count("\n")) == (2, 1), said
    assert said.startswith(f"expand3d {command.split()[0]}: ")
    assert everything(home) == before


@settings(max_examples=examples(20))
@given(
    root=st.sampled_from(sorted(set(ROOTS) - {"a name with a null byte"})),  # no variable holds it
    below=st.lists(st.sampled_from(["a", "b c"]), max_size=2),
    bundled=st.booleans(),
)
def test_a_cache_that_cannot_be_written_is_one_line_and_leaves_no_study(
    home: Path, root: str, below: list[str], bundled: bool
) -> None:
    before = everything(home)
    words = ["run", "--budget", "1GFLOPs", "--root", str(home / "new"), "--study", "new"]
    words += [] if bundled else ["--data", str(home / "videos")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(Path(home, ROOTS[root], *below)))
        status, said = said_by(words)
    last = said.splitlines()[-1]
    assert status == 2 and last.startswith("expand3d run: ") and "cannot be written" in last
    assert "Traceback" not in said
    assert everything(home) == before


@pytest.mark.parametrize("command", ["presets", "--help", "schema", "report"])
def test_a_full_standard_output_is_one_line(command: str) -> None:
    more = ["--published", "--json"] if command == "report" else []
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "expand3d", command, *more],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr


#: Commands that write without training, by the file or folder that they make.
WRITE = ("export", "report", "report two", "report --published", "import")
WRITE_FILES = ("data show", "data split")


@pytest.mark.parametrize("command", [*WRITE, *WRITE_FILES])
def test_what_is_there_is_replaced_with_force_only(
    command: str, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [word for word in commands(home, str(out))[command] if word != "--force"]
    assert said_by(words) == (0, "")
    made = everything(tmp_path)
    assert made and all(content != b"" for content in made.values())
    assert not [path for path in tmp_path.rglob(".*")], "a temporary file"
    mine = out if out.is_file() else out / "mine.txt"
    mine.write_text("mine", encoding="utf-8")
    before = everything(tmp_path)
    status, said = said_by(words)
    assert status == 2 and "or add --force" in said and said.count("\n") == 1
    assert everything(tmp_path) == before
    assert said_by([*words, "--force"])[0] == 0
    after = everything(tmp_path)
    assert after.keys() == before.keys()
    if out.is_dir():
        assert mine.read_text(encoding="utf-8") == "mine"
    else:
        assert after == made


def test_every_command_that_writes_has_the_same_flag() -> None:
    """A command with --out has --force, in the same words."""
    from expand3d.cli.main import COMMANDS, parser_for
    from expand3d.cli.parser import Parser

    def parsers(parser: Parser) -> Iterator[Parser]:
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from action.choices.values()

    told = {}
    for name in COMMANDS:
        for parser in parsers(parser_for(name)):
            flags = {flag: action for action in parser._actions for flag in action.option_strings}
            if "--out" in flags:
                assert "--force" in flags, parser.prog
                told[parser.prog] = flags["--force"].help
    assert len(told) >= 6 and len(set(told.values())) == 1


@contextmanager
def masked(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("command", "mask"),
    [
        # Reports draw pictures, which takes seconds.
        pytest.param(command, mask, marks=[pytest.mark.slow] if slow else [])
        for command in (*WRITE, *WRITE_FILES)
        for mask in (0o022, 0o002, 0o077)
        for slow in [command.startswith("report") and mask != 0o002]
    ],
)
def test_files_and_folders_follow_the_umask(
    mask: int, command: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    with masked(mask):
        status, _ = said_by(commands(home, str(tmp_path / "here" / "out"))[command])
    assert status == 0
    paths = list((tmp_path / "here").rglob("*"))
    assert paths
    for path in paths:
        expected = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_device_is_written_to_and_stays_a_device(home: Path) -> None:
    """As root, a rename would put a file in its place."""
    for device, status in (("/dev/null", 0), ("/dev/full", 2)):
        words = [*commands(home, device)["data split"], "--force"]
        ended, said = said_by(words)
        assert ended == status and said.count("\n") == status // 2
        assert stat.S_ISCHR(os.stat(device).st_mode)


def test_a_link_to_a_file_stays_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "list.csv", tmp_path / "list.csv"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    words = commands(home, str(link))["data split"]
    assert said_by(words)[0] == 2 and target.read_text(encoding="utf-8") == "old"
    assert said_by([*words, "--force"])[0] == 0
    assert link.is_symlink() and target.read_text(encoding="utf-8").startswith("path,label")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go to another working folder."""
    (tmp_path / "elsewhere").mkdir()
    return lambda: monkeypatch.chdir(tmp_path / "elsewhere")


def test_a_hint_works_in_any_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[], None]
) -> None:
    """The last lines of a finished run, with a root that was given relative and has a space."""
    import shlex

    from expand3d.cli.outcome import print_outcome
    from expand3d.run.runner import Outcome

    monkeypatch.chdir(home)
    (home / "my [old] studies").symlink_to(home / "studies")
    out = StringIO()
    with redirect_stdout(out):
        print_outcome(Outcome("heron", "my [old] studies", None, "finished"), as_json=False)
    hints = dict(line.split(":", 1) for line in out.getvalue().splitlines() if "expand3d " in line)
    assert set(hints) == {"look", "export"}
    elsewhere()
    for hint in hints.values():
        program, *words = shlex.split(hint)
        assert program == "expand3d" and said_by(words)[0] == 0
    assert {path.name for path in Path().iterdir()} == {"heron-report", "heron-export"}
    (home / "my [old] studies").unlink()
