from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.api import resolve
from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training
from expand3d.core.scores import PackedScores, means_of, pack_scores, unpack_scores
from expand3d.core.trial import SCRATCH, Candidate, Trial
from expand3d.networks import all_presets
from expand3d.study.encoding import decode_trial, encode_trial
from tests.helpers.made_up_trials import candidate, training

_finite = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(max_size=12)
_counts = st.integers(0, 10**15)
_json = st.recursive(
    st.none() | st.booleans() | _counts | _finite | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_scores = st.builds(
    ClipScore, _text, st.integers(0, 400), st.integers(0, 399), _finite, st.none() | _text
)
_trainings = st.builds(
    Training,
    status=st.sampled_from(["ok", "diverged", "timeout"]),
    reason=st.none() | _text,
    scores=st.lists(_scores, max_size=6).map(tuple),
    clip_visits=_counts,
    training_macs=_counts,
    seconds=_finite,
    peak_memory=_counts,
    curve=st.lists(st.dictionaries(_text, _finite, max_size=3), max_size=3).map(tuple),
    notes=st.lists(_text, max_size=2).map(tuple),
    environment=st.dictionaries(_text, _json, max_size=3),
)
_candidates = st.builds(
    Candidate,
    genotype=st.builds(Genotype, _text, st.dictionaries(_text, _finite, max_size=4)),
    plan=st.sampled_from([preset.genotype for preset in all_presets().values()]).map(resolve),
    start=st.just(SCRATCH) | _text,
    macs=_counts,
    step=st.integers(0, 30),
    axis=st.none() | _text,
    role=st.sampled_from(["base", "expand", "contract"]),
    target=st.none() | _counts,
    merged=st.lists(_text, max_size=2).map(tuple),
)
_trials = st.builds(
    Trial,
    number=st.integers(0, 999),
    state=st.sampled_from(["running", "complete", "failed"]),
    candidate=_candidates,
    cost=st.dictionaries(_text, _counts, max_size=3),
    trainings=st.dictionaries(_text, _trainings, max_size=3),
    reason=st.none() | _text,
    provenance=st.dictionaries(_text, _json, max_size=3),
)


@given(_trials)
def test_a_trial_survives_json_bit_for_bit(trial: Trial) -> None:
    text = json.dumps(encode_trial(trial), allow_nan=False)
    assert decode_trial(json.loads(text)) == trial


def _trial(**changes: Any) -> Trial:
    trial = Trial(0, "running", candidate(), {"macs": 1}, {"0/0": training()})
    return replace(trial, **changes)


def test_a_record_from_before_candidates_had_names_still_loads() -> None:
    trial = Trial(0, "complete", candidate(), {"macs": 1}, {"0/0": training()})
    data = encode_trial(trial)
    assert data["candidate"].pop("label") is None
    assert decode_trial(data) == trial


def test_numbers_that_are_none_become_null_in_curves_and_notes_of_the_machine() -> None:
    diverged = replace(
        training(status="diverged"),
        curve=({"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": math.inf}),
        environment={"deep": [{"x": (-math.inf, 1.0)}]},
    )
    data = encode_trial(_trial(trainings={"0/0": diverged}, provenance={"lr": math.nan}))
    text = json.dumps(data)
    assert "NaN" not in text and "Infinity" not in text
    back = decode_trial(data).trainings["0/0"]
    assert [point["loss"] for point in back.curve] == [None, None]
    assert back.environment == {"deep": [{"x": [None, 1.0]}]}
    assert decode_trial(data).provenance == {"lr": None}


@pytest.mark.parametrize("nll", [math.nan, math.inf])
def test_a_clips_score_is_a_number(nll: float) -> None:
    broken = replace(training(), scores=(ClipScore("a.mp4", 1, 0, nll),))
    with pytest.raises(ValueError, match=r"'a\.mp4'"):
        encode_trial(_trial(trainings={"0/0": broken}))


def test_twenty_thousand_clips_are_compact_and_exact() -> None:
    scores = [
        ClipScore(f"val/class{i % 400:03d}/video_{i:06d}.mp4", i % 400, i % 7, 1 / (i + 1))
        for i in range(20_000)
    ]
    packed = pack_scores(scores)
    assert unpack_scores(packed) == scores
    assert packed["clips"] == 20_000
    assert len(packed["packed"]) < len(json.dumps(scores)) / 4


def test_packed_scores_are_unpacked_only_when_a_clip_is_asked_for() -> None:
    scores = training((0, 1, 0, 7)).scores
    packed = PackedScores({**pack_scores(scores), "packed": "broken"})
    assert len(packed) == 4
    assert packed.means is not None and packed.means.top1 == 0.5 and packed.means.top5 == 0.75
    assert packed.means.nll == pytest.approx(0.1 + 8 / 12)
    with pytest.raises(ValueError, match=r"base64|padding|characters"):
        packed[0]


def test_scores_from_before_the_record_kept_means_have_the_same_ones() -> None:
    scores = training((0, 1, 0, 7)).scores
    data = pack_scores(scores)
    old = PackedScores({key: value for key, value in data.items() if key != "means"})
    assert old == scores and old.means == PackedScores(data).means == means_of(scores)
    assert PackedScores(pack_scores(old)).means == old.means
