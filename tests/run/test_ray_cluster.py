"""A study on a Ray cluster that loses a machine is the study that one process makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.two_nodes import facts, first_difference, in_this_process, with_a_node_lost
from expand3d.study.config import StudyConfig

#: Clips of a batch: what a training that is begun anew tells of first.
BATCH = 8


@pytest.mark.slow
def test_a_study_that_loses_a_node_equals_that_of_one_process(
    config: StudyConfig, tmp_path: Path
) -> None:
    short = {"clip_visits": 32, "batch": BATCH, "bn_batch": BATCH, "test_views": 1}
    config = dataclasses.replace(
        config,
        budget="0.08GFLOPs",
        recipe={**short, "clip_visits": 160},
        final=True,
        final_recipe=short,
    )
    one = in_this_process(config, str(tmp_path / "one"))
    other, loss = with_a_node_lost(config, str(tmp_path / "two"))

    # The base trains alone, so the first time that two have a checkpoint is in the first step.
    assert len(loss.trainings) == 1, loss.killed
    ((lost, (_, after)),) = loss.went_on(other).items()
    assert lost in loss.begun and other.trial(lost).candidate.step == 1
    assert after > BATCH, "it was begun anew"

    assert {trial.candidate.step for trial in one.trials()} == {0, 1, 2}
    assert {trial.state for trial in one.trials()} == {"complete"}
    assert one.final() is not None
    mine, theirs = facts(one), facts(other)
    # 4 validation clips in each of the trials, 4 test clips in the end; each with 5 values.
    scores = [place for place in mine if "/rows/" in place]
    assert len(scores) == 5 * 4 * (len(one.trials()) + 1)
    assert first_difference(mine, theirs) is None
    loss_of_a_clip = scores[3]
    off = {**mine, loss_of_a_clip: mine[loss_of_a_clip] * (1 + 2**-50)}
    assert f"differ in {loss_of_a_clip}" in str(first_difference(off, theirs))
