"""Trials made of chosen scores, without any training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from expand3d.core.trial import Candidate, Trial
from tests.helpers.scored_trials import candidate_of, trial_of


@pytest.fixture
def make_candidate() -> Callable[..., Candidate]:
    return candidate_of


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    return trial_of
