from __future__ import annotations

from dataclasses import replace

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.result import TrainingKey
from expand3d.core.trial import Trial, summarise
from tests.helpers.made_up_trials import candidate, training


def test_folds_are_pooled_and_repeats_averaged() -> None:
    trainings = {TrainingKey(): training((0, 1, 0, 7)), TrainingKey(0, 1): training((0, 0, 0, 7))}
    found = summarise(Trial(0, "running", candidate(), {}, trainings))
    assert found is not None
    # Clip by clip: 1, 1/2, 1, 0 of two repeats right; rank 7 of no use to top-5.
    assert found.top1 == pytest.approx(2.5 / 4) and found.top5 == pytest.approx(3 / 4)
    # Log-losses are 0.1 + rank/3: ranks average 0, 1/2, 0, 7.
    assert found.nll == pytest.approx(0.1 + 7.5 / 12)
    # Wilson for 2.5 of 4: (2.5 + 1.9208)/(4 + 3.8416) = 0.5638, half width 0.3443.
    assert found.top1_ci == pytest.approx((0.2194, 0.9081), abs=1e-4)
    assert found.clips == 4


def test_folds_of_different_sizes_and_repeats_count_clip_by_clip() -> None:
    trainings = {
        TrainingKey(): training((0, 7, 7)),
        TrainingKey(0, 1): training((0, 0, 7)),
        TrainingKey(1): training((0,)),
    }
    found = summarise(Trial(0, "running", candidate(), {}, trainings))
    assert found is not None and found.clips == 4
    # Clip by clip: 1, 1/2, 0 of fold 0's repeats, 1 of fold 1.
    assert found.top1 == pytest.approx(2.5 / 4) and found.top5 == pytest.approx(2.5 / 4)
    assert found.nll == pytest.approx(0.1 + (0 + 3.5 + 7 + 0) / 12)


def test_without_a_scored_clip_there_is_no_score() -> None:
    assert summarise(Trial(0, "running", candidate(), {})) is None
    failed = {TrainingKey(): training(status="diverged")}
    assert summarise(Trial(0, "failed", candidate(), {}, failed, "diverged")) is None


@pytest.mark.parametrize(
    ("key", "text", "file_name"),
    [
        (TrainingKey(), "0/0", "0-0"),
        (TrainingKey(12, 3), "12/3", "12-3"),
        (TrainingKey(part="flow"), "flow/0/0", "flow-0-0"),
        (TrainingKey(visits=800), "0/0@800", "0-0"),
        (TrainingKey(2, 1, "rgb", 16), "rgb/2/1@16", "rgb-2-1"),
    ],
)
def test_a_key_is_its_text(key: TrainingKey, text: str, file_name: str) -> None:
    assert str(key) == text and TrainingKey.parse(text) == key
    # Whatever its visits, a training goes on from one checkpoint.
    assert key.file_name == file_name == key.until(None).file_name


@pytest.mark.parametrize(
    "text", ["", "0", "0/0/0/0", "rgb/0", "0/0@", "0/0@1.5", "-1/0", "a b/0/0"]
)
def test_a_key_of_another_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(StudyError, match="this version of expand3d cannot read"):
        TrainingKey.parse(text)


def test_a_training_to_more_visits_counts_for_those_before_it() -> None:
    """Two rungs of 16 and 32 visits of fold 0, the first of which fold 1 has come to."""
    first = replace(training((0, 7)), clip_visits=16, seconds=10.0, test_seconds=1.0)
    on = replace(training((0, 0)), clip_visits=32, seconds=18.0, test_seconds=2.0)
    other = replace(training((7,)), clip_visits=16, seconds=9.0, test_seconds=0.5)
    runs = {
        TrainingKey(0, visits=32): on,
        TrainingKey(0, visits=16): first,
        TrainingKey(1, visits=16): other,
    }
    trial = Trial(0, "running", candidate(), {}, runs)
    assert trial.furthest == {TrainingKey(0): on, TrainingKey(1): other}
    assert trial.seconds == 18 + 9 + 1  # the seconds up to 16 visits are in those up to 32
    found = summarise(trial)
    assert found is not None and (found.clips, found.top1) == (3, pytest.approx(2 / 3))
    then = summarise(trial.at(16))
    assert then is not None and (then.clips, then.top1) == (3, pytest.approx(1 / 3))
    assert summarise(trial.at(64)) is None
    whole = replace(trial, trainings={TrainingKey(0): training((7, 7)), **runs})
    assert whole.furthest[TrainingKey(0)] == training((7, 7))


def test_scores_of_a_part_are_not_those_of_the_network() -> None:
    runs = {
        TrainingKey(part="rgb"): training((7, 7)),
        TrainingKey(part="flow"): training((7, 0)),
        TrainingKey(): training((0, 0)),
    }
    found = Trial(0, "complete", candidate(), {}, runs)
    assert found.means is not None and (found.means.clips, found.means.top1) == (2, 1.0)
    assert [len(scores) for scores in found.scores().values()] == [1, 1]
    assert Trial(0, "running", candidate(), {}, dict(list(runs.items())[:2])).means is None
