"""`--help` says what a study file's keys are, in groups, with legal values and defaults."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from expand3d.cli.main import COMMANDS, parser_for
from expand3d.study.config import keys


def help_of(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The help of a command as one line per flag, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "400")
    return parser_for(name).format_help()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_usage_names_every_value_that_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = help_of(name, monkeypatch).partition("\n\n")[0]
    assert usage.startswith("usage: ") and "None" not in usage


def test_run_shows_groups_values_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of("run", monkeypatch)
    heads = re.findall(r"^(data|search|training|running):$", text, flags=re.MULTILINE)
    assert heads == ["data", "search", "training", "running"]
    words = " ".join(text.split())
    for said in (
        "--strategy {expand,tpe,nsga2,nsga3,gp,qmc,random,grid,tabulate}",
        "or a sampler (default: expand)",
        "--beam N",
        "(a whole number of at least 1; default: 1)",
        "one of x3d, r3d, r2plus1d, csn, slowonly, c3d, t3d, slowfast, i3d, s3d, "
        "twostream, i3d_twostream, s3d_twostream, r2plus1d_twostream, fusion, "
        "hidden_twostream, tsn; default: x3d",
        "--first-clip FRAMESxSTRIDE",
        "(default: 2x14)",
        "(a number above 1; default: 2)",
        "--val SHARE",
        "(default: 20GiB)",
        "profile final (default: yes)",
        "usage: expand3d run [options] [FILE]",
        "1,000 clip visits",
    ):
        assert said in words
    flags = set(re.findall(r"^  (--[\w-]+)", text, flags=re.MULTILINE))
    wanted = {"--study" if key == "name" else f"--{key.replace('_', '-')}" for key in keys()}
    assert wanted <= flags


def test_a_study_that_is_there_goes_by_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(help_of("resume", monkeypatch).split())
    assert "default: bundled" not in text and "folder where studies live (default: studies)" in text


def test_a_command_that_prints_no_help_loads_no_formatter() -> None:
    code = (
        "import sys\n"
        "from expand3d.cli.main import COMMANDS, parser_for\n"
        "for name in COMMANDS:\n"
        "    parser_for(name)\n"
        "    assert not {'rich_argparse', 'shtab'} & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_that_knows_no_study_loads_no_pydantic() -> None:
    code = (
        "import sys\n"
        "from expand3d.cli.main import main, parser_for\n"
        "main(['--help'])\n"
        "for name in ('cost', 'presets', 'import', 'replay', 'schema', 'completion'):\n"
        "    parser_for(name)\n"
        "    assert 'pydantic' not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
