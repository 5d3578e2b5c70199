from __future__ import annotations

import pytest

from expand3d.core.trial import Trial, summarise
from tests.helpers.made_up_trials import candidate, training


def test_folds_are_pooled_and_repeats_averaged() -> None:
    trainings = {"0/0": training((0, 1, 0, 7)), "0/1": training((0, 0, 0, 7))}
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
        "0/0": training((0, 7, 7)),
        "0/1": training((0, 0, 7)),
        "1/0": training((0,)),
    }
    found = summarise(Trial(0, "running", candidate(), {}, trainings))
    assert found is not None and found.clips == 4
    # Clip by clip: 1, 1/2, 0 of fold 0's repeats, 1 of fold 1.
    assert found.top1 == pytest.approx(2.5 / 4) and found.top5 == pytest.approx(2.5 / 4)
    assert found.nll == pytest.approx(0.1 + (0 + 3.5 + 7 + 0) / 12)


def test_without_a_scored_clip_there_is_no_score() -> None:
    assert summarise(Trial(0, "running", candidate(), {})) is None
    failed = {"0/0": training(status="diverged")}
    assert summarise(Trial(0, "failed", candidate(), {}, failed, "diverged")) is None
