"""A search that is kept within what other codebases build ends in a network that is exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError
from expand3d.core.plugins import RESTRICTIONS
from expand3d.run.driver import run_study
from expand3d.run.prepare.goal import find_goal
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record


@pytest.mark.slow
def test_every_network_can_be_built_there(
    config: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ("pyslowfast", "mmaction2")
    run_study(dataclasses.replace(config, expressible_in=targets))
    trials = Record.open("tiny", root=config.root).trials()
    assert len(trials) >= 4 and {trial.state for trial in trials} == {"complete"}
    for target in targets:
        refusal = RESTRICTIONS.load(target)
        assert not [trial.number for trial in trials if refusal(trial.candidate.plan) is not None]
        words = ["export", "tiny", "--root", config.root, "--to", target, "--frontier"]
        assert main([*words, "--no-verify", "--out", str(tmp_path / target)]) == 0
    assert "left out" not in capsys.readouterr().err


def test_what_they_cannot_build_at_all_is_said_at_once() -> None:
    config = StudyConfig(budget="4GFLOPs", family="r3d", expressible_in="mmaction2")
    with pytest.raises(ConfigError, match=r"expressible_in = mmaction2 refuses the first network"):
        find_goal(config)


def test_a_target_that_is_unknown_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown restriction 'mmaction'.*mmaction2"):
        StudyConfig(budget="4GFLOPs", expressible_in="pyslowfast,mmaction")
