"""Words that a command does not know: one line with the nearest choice, exit status 2, no usage."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.cli.main import COMMANDS, main, parser_for

#: Every command and every action of `data`.
CALLS = [
    *([name] for name in COMMANDS if name != "data"),
    *(["data", action] for action in ("check", "show", "split", "convert")),
]
#: A flag of each with one letter too many, and the flag.
MISSPELT = {
    "run": ("--budgett", "--budget"),
    "resume": ("--extendd", "--extend"),
    "worker": ("--dead-afterr", "--dead-after"),
    "baselines": ("--presetss", "--presets"),
    "status": ("--jsonn", "--json"),
    "studies": ("--roott", "--root"),
    "pareto": ("--csvv", "--csv"),
    "report": ("--publishedd", "--published"),
    "pretrain": ("--teacherr", "--teacher"),
    "train": ("--epochss", "--epochs"),
    "eval": ("--viewss", "--views"),
    "export": ("--too", "--to"),
    "import": ("--inflatee", "--inflate"),
    "latency-kit": ("--num-classess", "--num-classes"),
    "cost": ("--presett", "--preset"),
    "presets": ("--familyy", "--family"),
    "replay": ("--budgett", "--budget"),
    "predict": ("--windoww", "--window"),
    "advise": ("--jsonn", "--json"),
    "tabulate": ("--drawss", "--draws"),
    "compare": ("--tablee", "--table"),
    "cache": ("--emptyy", "--empty"),
    "schema": ("--helpp", "--help"),
    "completion": ("--helpp", "--help"),
    "check": ("--fpss", "--fps"),
    "show": ("--outt", "--out"),
    "split": ("--seedd", "--seed"),
    "convert": ("--outt", "--out"),
}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The text of standard error, which is one line; standard output is empty."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.endswith("\n")
    return err


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_an_unknown_flag_names_the_nearest(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, right = MISSPELT[words[-1]]
    assert main([*words, wrong, "x"]) == 2
    line = one_line(capsys)
    assert line.startswith(f"expand3d {words[0]}: unknown flag {wrong!r} (did you mean {right!r}?)")
    assert main([*words, f"{wrong}=x"]) == 2
    assert f"unknown flag {wrong!r}" in one_line(capsys)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_flag_like_no_other_names_the_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--zzzzzzzz"]) == 2
    assert f"(expand3d {' '.join(words)} --help lists them)" in one_line(capsys)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_command_prints_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.lower().startswith(f"usage: expand3d {' '.join(words)}")
    assert "\x1b" not in out and "TEXT" not in out


def test_every_flag_has_a_misspelling_above() -> None:
    assert set(MISSPELT) == {words[-1] for words in CALLS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--budget", "1G", "--strategy", "tpee"], "did you mean 'tpe'?"),
        (["run", "--budget", "1G", "--profile", "quik"], "did you mean 'quick'?"),
        (["run", "--budget", "1G", "--beam", "0"], "a whole number of at least 1"),
        (["run", "--budget", "1G", "--val", "2"], "below 1"),
        (["run", "--budget", "1G", "--devices", "gpu"], "cuda:N"),
        (["run", "--budget", "1G", "--time-limit", "soon"], "such as 2h"),
        (["run", "studies/nothing.toml"], "there is no such study file"),
        (["run", "a.toml", "b.toml"], "unexpected argument 'b.toml'"),
        (["resume"], "required: NAME (expand3d resume --help)"),
        (["resume", "x", "--executor", "rai"], "did you mean 'ray'?"),
        (["worker", "x", "--dead-after", "soon"], "such as 2h"),
        (["baselines"], "name a study with --study"),
        (["baselines", "--budget", "1G", "--growth", "bot"], "did you mean 'both'?"),
        (["baselines", "--study", "x", "--max-budget", "four"], "4GFLOPs"),
        (["status", "--storage", "sqlite:///x.db"], "add the NAME"),
        (["studies", "x"], "unexpected argument 'x'"),
        (["pareto", "nothing", "--root", "/nonexistent"], "nothing"),
        (["pareto", "x", "--csv", "--json"], "not allowed with"),
        (["report", "--published", "--cost", "totl", "--json"], "did you mean 'total'?"),
        (["report", "--published", "--families", "x4d", "--json"], "x3d"),
        (["pretrain", "t3d", "--teacher", "x", "--out", "y", "--lr", "0"], "above 0"),
        (["pretrain", "t4d", "--teacher", "x", "--out", "y"], "did you mean 't3d'?"),
        (["export", "x", "--to", "jsn", "--out", "y"], "did you mean 'json'?"),
        (["export", "x", "--to", "json", "--out", "y", "--trial", "a"], "at least 0"),
        (["import", "nothing.pth", "--preset", "r3d-18", "--out", "x"], "no such file"),
        (["cost", "--preset", "x3d-z"], "did you mean 'x3d-"),
        (["cost", "--preset", "x3d-s", "--set", "gamma=2"], "gamma_"),
        (["cost", "--preset", "x3d-s", "--num-classes", "0"], "at least 1"),
        (["cost", "--preset", "x3d-s", "--latency", "--device", "gpu"], "cuda"),
        (["presets", "--family", "x4d"], "did you mean 'x3d'?"),
        (["replay", "x3e"], "did you mean 'x3d'?"),
        (["replay", "--budget", "four"], "4GFLOPs"),
        (["data"], "required: ACTION"),
        (["data", "chek", "x"], "did you mean 'check'?"),
        (["data", "check"], "expand3d data check videos/"),
        (["data", "check", "a", "--data", "b"], "differ"),
        (["data", "check", "x", "--fps", "0"], "above 0"),
        (["data", "show", "x", "--out", "y.png", "--clips", "none"], "at least 1"),
        (["data", "split", "x", "--out", "y.csv", "--seed", "-1"], "at least 0"),
        (["completion", "bsh"], "did you mean 'bash'?"),
        (["--verison"], "did you mean '--version'?"),
        (["stauts"], "did you mean 'status'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_value_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in one_line(capsys)


def test_flags_in_short_are_still_read() -> None:
    args = parser_for("run").parse_args(["--bud", "1G", "--no-fin", "f"])
    assert (args.budget, args.final, args.file) == ("1G", False, "f")
    assert parser_for("data").parse_args(["show", "x", "--out", "y"]).out == Path("y")
