"""The command as a whole: help that is quick to load, mistakes on one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from expand3d.cli.main import COMMANDS, main, parser_for


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from expand3d.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'torch', 'optuna', 'numpy', 'pandas', 'av', 'ray', 'matplotlib', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "loaded: []" in out
    for name in COMMANDS:
        assert f"  {name} " in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parser_for(name).parse_args(["--help"])
    assert stop.value.code == 0
    assert f"expand3d {name}" in capsys.readouterr().out.split("usage:")[1].split("\n", 1)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["run", "--budget", "four"], "4GFLOPs"),
        (["run", "--budget", "1G", "--family", "x4d", "--data", "."], "did you mean 'x3d'?"),
        (["run", "--budget", "1G", "--data", "no/such/place"], "no/such/place"),
        # Said before the data is looked at, let alone generated.
        (["run", "--budget", "1M", "--data", "no/such/place"], "the least is 19.85 MMACs"),
        (["run"], "budget"),
        (["run", "--budget", "1G", "--recipe", "epoch=3"], "did you mean 'epochs'?"),
        (["run", "--budget", "1G", "--folds", "x"], "folds"),
        (["status", "nothing", "--root", "/nonexistent"], "nothing"),
        (["resume", "nothing", "--root", "/nonexistent"], "nothing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
