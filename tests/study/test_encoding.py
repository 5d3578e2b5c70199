from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.api import resolve
from expand3d.core.errors import StudyError
from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.scores import (
    PackedScores,
    means_of,
    pack_scores,
    scores_from_json,
    scores_to_json,
    unpack_scores,
)
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
_keys = st.builds(
    TrainingKey,
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([None, "rgb", "flow"]),
    st.none() | st.integers(1, 10**6),
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
    state=st.sampled_from(["running", "complete", "failed", "stopped"]),
    candidate=_candidates,
    cost=st.dictionaries(_text, _counts, max_size=3),
    trainings=st.dictionaries(_keys, _trainings, max_size=3),
    reason=st.none() | _text,
    reached=st.integers(0, 10**6),
    provenance=st.dictionaries(_text, _json, max_size=3),
)


@given(_trials)
def test_a_trial_survives_json_bit_for_bit(trial: Trial) -> None:
    text = json.dumps(encode_trial(trial), allow_nan=False)
    assert decode_trial(json.loads(text)) == trial


def _trial(**changes: Any) -> Trial:
    trial = Trial(0, "running", candidate(), {"macs": 1}, {TrainingKey(): training()})
    return replace(trial, **changes)


def test_a_record_from_before_candidates_had_names_still_loads() -> None:
    trial = Trial(0, "complete", candidate(), {"macs": 1}, {TrainingKey(): training()})
    data = encode_trial(trial)
    assert data["candidate"].pop("label") is None
    assert decode_trial(data) == trial


def test_numbers_that_are_none_become_null_in_curves_and_notes_of_the_machine() -> None:
    diverged = replace(
        training(status="diverged"),
        curve=({"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": math.inf}),
        environment={"deep": [{"x": (-math.inf, 1.0)}]},
    )
    data = encode_trial(_trial(trainings={TrainingKey(): diverged}, provenance={"lr": math.nan}))
    text = json.dumps(data)
    assert "NaN" not in text and "Infinity" not in text
    back = decode_trial(data).trainings[TrainingKey()]
    assert [point["loss"] for point in back.curve] == [None, None]
    assert back.environment == {"deep": [{"x": [None, 1.0]}]}
    assert decode_trial(data).provenance == {"lr": None}


@pytest.mark.parametrize("nll", [math.nan, math.inf])
def test_a_clips_score_is_a_number(nll: float) -> None:
    broken = replace(training(), scores=(ClipScore("a.mp4", 1, 0, nll),))
    with pytest.raises(ValueError, match=r"'a\.mp4'"):
        encode_trial(_trial(trainings={TrainingKey(): broken}))


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


#: The same two clips in each form; log-losses whose last bits matter.
TWO = (ClipScore("a.mp4", 1, 0, 0.1 + 0.2, "scene"), ClipScore("b.mp4", 0, 3, 1 / 3, None))
COLUMNS = {
    "key": ["a.mp4", "b.mp4"],
    "label": [1, 0],
    "rank": [0, 3],
    "nll": [0.30000000000000004, 0.3333333333333333],
    "group": ["scene", None],
}


def _packed(content: list[list[Any]], **beside: Any) -> dict[str, Any]:
    text = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()
    return {"clips": 2, "packed": text, **beside}


def test_scores_are_kept_under_the_names_of_their_columns() -> None:
    told = (TWO[0]._replace(predicted=1), TWO[1])
    packed, plain = pack_scores(told), scores_to_json(told)
    assert packed["format"] == plain["format"] == 2
    assert packed["columns"] == plain["columns"] == [*COLUMNS, "predicted"]
    columns = json.loads(zlib.decompress(base64.b64decode(packed["packed"])))
    assert columns == [*COLUMNS.values(), [1, None]]
    assert packed["means"] == {"top1": 0.5, "top5": 1.0, "nll": pytest.approx((0.3 + 1 / 3) / 2)}
    assert plain["rows"] == [
        ["a.mp4", 1, 0, 0.1 + 0.2, "scene", 1],
        ["b.mp4", 0, 3, 1 / 3, None, None],
    ]
    assert unpack_scores(packed) == list(scores_from_json(plain)) == list(told)
    assert pack_scores(())["means"] is None and unpack_scores(pack_scores(())) == []
    assert scores_from_json(scores_to_json(())) == ()


def test_scores_by_place_are_read_as_they_were_written() -> None:
    by_place = list(COLUMNS.values())
    old = _packed(by_place, means=[0.5, 1.0, 0.25])
    assert unpack_scores(old) == list(TWO)
    assert PackedScores(old).means == (2, 0.5, 1.0, 0.25)  # as kept, not worked out again
    assert pack_scores(PackedScores(old)) == old
    assert scores_from_json([list(row) for row in zip(*by_place, strict=True)]) == TWO
    groupless = [score._replace(group=None) for score in TWO]
    assert unpack_scores(_packed(by_place[:4], means=None)) == groupless
    assert scores_from_json([]) == () and unpack_scores({**_packed([]), "clips": 0}) == []


def test_columns_of_a_later_version_and_another_order_do_no_harm() -> None:
    later = {"margin": [1, 2], **dict(reversed(COLUMNS.items())), "logits": [[0.1], [0.2]]}
    means = {"top5": 1.0, "top1": 0.5, "mean class accuracy": 0.4, "nll": 0.25}
    packed = _packed(list(later.values()), format=2, columns=list(later), means=means)
    kept = PackedScores(packed)
    assert tuple(kept) == TWO and kept.means == (2, 0.5, 1.0, 0.25)
    assert pack_scores(kept) == packed, "what this version cannot read is not lost"
    rows = [list(row) for row in zip(*later.values(), strict=True)]
    assert scores_from_json({"format": 2, "columns": list(later), "rows": rows}) == TWO
    groupless = {name: column for name, column in COLUMNS.items() if name != "group"}
    fewer = _packed(list(groupless.values()), format=2, columns=list(groupless), means=means)
    assert unpack_scores(fewer) == [score._replace(group=None) for score in TWO]


def test_a_format_of_a_later_version_is_refused_in_one_line() -> None:
    for read in (PackedScores, unpack_scores, scores_from_json):
        with pytest.raises(StudyError, match=r"format 3.*later version.*reads formats 1 to 2"):
            read({"format": 3, "clips": 2, "anything": 0})
