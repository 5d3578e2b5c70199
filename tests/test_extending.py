"""The examples of docs/extending.md run as printed: each is costed, searched, trained, exported."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.errors import FactorError
from expand3d.core.plugins import EXECUTORS, FAMILIES, FORMATS, LAYOUTS, RESTRICTIONS, STRATEGIES
from expand3d.interop.json_folder import load_export
from expand3d.interop.network_file import read_network
from expand3d.networks import get_family, get_preset
from expand3d.report.study.view import load_view
from expand3d.study.record import Record
from tests.helpers.installed import offer
from tests.helpers.made_videos import greys, write_video
from tests.helpers.study_config import without_timing

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES: dict[str, str] = dict(
    re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", TEXT, flags=re.DOTALL)
)
#: The commands of each section, by its title.
COMMANDS = {
    section.partition("\n")[0]: re.findall(r"^\$ expand3d (.*)$", section, flags=re.MULTILINE)
    for section in TEXT.split("\n## ")[1:]
}

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page asks for: its examples in a folder beside videos of two classes."""
    folder = tmp_path_factory.mktemp("extending")
    for name, text in EXAMPLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "flat").mkdir()
    for label, name in enumerate(("run", "walk")):
        (folder / "videos" / name).mkdir(parents=True)
        for number in range(8):
            level = 60 + 80 * label + number
            video = folder / "videos" / name / f"{number}.mp4"
            write_video(video, greys(range(level, level + 40)))  # each a little brighter
            (folder / "flat" / f"{name}__{number}.mp4").write_bytes(video.read_bytes())
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EXPAND3D_CACHE", str(folder / "cache"))
    monkeypatch.syspath_prepend(str(folder))
    without_timing(monkeypatch)
    yield
    for name in EXAMPLES:
        sys.modules.pop(name.removesuffix(".py"), None)


def follow(title: str) -> None:
    """Type the commands of a section."""
    assert COMMANDS[title], f"{title} shows no command"
    for command in COMMANDS[title]:
        assert main(shlex.split(command)) == 0, command


def test_every_section_has_an_example() -> None:
    titles = re.findall(r"^## (.*)", TEXT, flags=re.MULTILINE)
    sections = TEXT.split("\n## ")[1:]
    assert titles == list(COMMANDS) and len(sections) == 7
    for section in sections:
        assert len(re.findall(r"<!-- example: \S+\.py -->", section)) == 1


def test_a_family_is_costed_and_searched(folder: Path, capsys: Capture) -> None:
    follow("A family of networks")
    family = get_family("my_nets:FAMILY")
    plan = family.resolve(family.base.replace(gamma_w=2), num_classes=400)
    # Two 3x3x3 convolutions of 32 channels on 56 and 28 pixels, and 32 x 400 weights.
    macs = 27 * 32 * (3 * 56**2 + 32 * 28**2) + 32 * 400
    assert family.cost(plan).macs == macs
    assert f"{macs:,}" in capsys.readouterr().out
    trials = load_view("plain", root=folder / "studies").trials
    assert [trial.state for trial in trials] == ["complete"] * len(trials) and len(trials) >= 3
    assert {trial.candidate.genotype.family for trial in trials} == {"my_nets:FAMILY"}
    _, data = read_network(folder / "plain-export")
    assert data["genotype"]["family"] == "my_nets:FAMILY"


#: The example's family with a short name and a preset.
INSTALLED = (
    EXAMPLES["my_nets.py"].replace('name = "my_nets:FAMILY"', 'name = "plain"')
    + """

from expand3d.networks.family import Preset

Plain.presets = {"plain-wide": Preset("plain-wide", Plain.base.replace(gamma_w=2.0))}
"""
)


@pytest.mark.slow
def test_a_family_of_an_installed_package_is_like_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (text,) = re.findall(r"<!-- entry point of a family -->\n```toml\n(.*?)```", TEXT, re.DOTALL)
    points = tomllib.loads(text)["project"]["entry-points"]
    (tmp_path / "my_nets_installed.py").write_text(INSTALLED)
    offer(tmp_path, points, monkeypatch)
    family = get_family("plain")
    assert get_family("plain") is family and get_preset("plain-wide").genotype["gamma_w"] == 2
    # Two 3x3x3 convolutions of 32 channels on 56 and 28 pixels, and 32 x 400 weights.
    macs = 27 * 32 * (3 * 56**2 + 32 * 28**2) + 32 * 400
    assert main(["cost", "--preset", "plain-wide"]) == 0
    assert f"{macs:,}" in capsys.readouterr().out
    final = ["clip_visits=8", "batch=4", "bn_batch=4", "test_views=1"]
    words = ["run", "tiny.toml", "--family", "plain", "--start", "plain-wide", "--final"]
    words += [word for field in final for word in ("--final-recipe", field)]
    assert main([*words, "--budget", "0.04GFLOPs", "--study", "installed"]) == 0
    view = load_view("installed", root=folder / "studies")
    assert view.final is not None and view.trials[0].candidate.macs < macs  # of two classes
    assert {trial.state for trial in view.trials} == {"complete"}
    for target in ("json", "torch-export"):  # the second is verified: logits are compared
        out = str(tmp_path / target)
        assert main(["export", "installed", "--to", target, "--out", out]) == 0
    assert load_export(tmp_path / "json").genotype.family == "plain"
    assert main(["export", "installed", "--to", "pytorchvideo", "--out", str(tmp_path / "no")]) == 2


def test_a_class_is_taken_for_its_object(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = EXAMPLES["my_nets.py"].replace("my_nets:FAMILY", "by_class:Plain")
    (tmp_path / "by_class.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    family = get_family("by_class:Plain")
    assert family is get_family("by_class:Plain") and family.name == "by_class:Plain"
    with pytest.raises(FactorError, match="it is called 'by_class:Plain'"):
        get_family("by_class:FAMILY")
    with pytest.raises(FactorError, match="'by_class:PlainPlan' cannot be loaded"):
        get_family("by_class:PlainPlan")


def test_a_data_set_takes_the_place_of_files(folder: Path, capsys: Capture) -> None:
    (text,) = re.findall(r"<!-- run: a data set -->\n```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(text, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == "x3d\n"
    record = Record.open("bars", root=folder / "studies")
    assert record.config().data == "python:Bars"
    assert record.attribute("data")["classes"] == ["down", "up"]
    assert len(record.attribute("data")["clips"]) == 24
    assert main(["resume", "bars"]) == 0  # from the cache


def test_a_strategy_is_driven_and_its_winner_leaves_by_a_target(folder: Path) -> None:
    follow("A strategy")
    view = load_view("widths", root=folder / "studies")
    widths = [trial.candidate.plan.widths[0] for trial in view.trials]  # type: ignore[attr-defined]
    assert len(widths) >= 2 and widths == sorted(widths)
    assert all(trial.candidate.macs <= 35_000_000 for trial in view.trials)
    assert view.best is not None and view.best.number in range(len(widths))
    follow("An export target")
    file, data = read_network(folder / "widths-export")
    assert data["trial"] == view.best.number
    saved = torch.load(file.parent / "checkpoint.pth", weights_only=True)
    assert saved["classes"] == ["run", "walk"]


def test_an_executor_trains(folder: Path) -> None:
    follow("An executor")
    trials = load_view("alone", root=folder / "studies").trials
    assert trials and {trial.state for trial in trials} == {"complete"}
    assert {trial.provenance["executor"] for trial in trials} == {"my_executor:Alone"}


def test_a_layout_of_an_installed_package_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (text,) = re.findall(r"<!-- entry points -->\n```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    project = tomllib.loads(text)["project"]
    offer(tmp_path, project["entry-points"], monkeypatch)
    follow("A data layout")
    assert "16" in capsys.readouterr().out
    assert LAYOUTS.everyone()[0] == "flat"


def test_a_restriction_holds(capsys: Capture) -> None:
    (text,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(text, str(PAGE), "exec"), {})
    assert capsys.readouterr().out == "128\n"


def test_the_page_names_every_kind_and_its_contract_test() -> None:
    root = PAGE.parent.parent
    for kind in (FAMILIES, STRATEGIES, EXECUTORS, FORMATS, LAYOUTS, RESTRICTIONS):
        assert kind.group in TEXT and f"| {kind.noun} |" in TEXT, kind.noun
    for name in re.findall(r"`(tests/\S+\.py)`", TEXT):
        assert (root / name).is_file(), name


def test_a_killed_study_finds_what_was_the_users_own_again(folder: Path) -> None:
    """By the names in its record: the strategy, the family and the executor."""
    words = (
        "run tiny.toml --strategy my_strategy:Widths --family my_nets:FAMILY "
        "--executor my_executor:Alone --budget 0.02GFLOPs --study again --create"
    )
    assert main(shlex.split(words)) == 0
    assert main(["resume", "again"]) == 0
    view = load_view("again", root=folder / "studies")
    assert view.best is not None and view.best.candidate.genotype.family == "my_nets:FAMILY"
