"""Flow against motion that is known: direction and length, in 8 bits, mirrored, warped, cached."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import DataError, UserError
from expand3d.core.plugins import FLOWS
from expand3d.data.flow.quantise import loss, pixels, quantise
from expand3d.data.flow.store import FlowSpec, FlowStore, flow_of
from tests.helpers.moving import Moving, middle, moving, texture

pytest.importorskip("cv2")
VELOCITIES = [(3.0, 0.0), (-2.0, 0.0), (0.0, 2.5), (1.5, -2.0), (0.0, 0.0)]


@pytest.mark.parametrize("method", sorted(FLOWS))
@pytest.mark.parametrize("velocity", VELOCITIES)
def test_a_method_finds_direction_and_length(method: str, velocity: tuple[float, float]) -> None:
    try:
        fields = flow_of(moving(velocity), FlowSpec(method))
    except DataError as missing:
        pytest.skip(str(missing))
    assert len(fields) == 5
    found = middle(np.stack(fields)).reshape(-1, 2)
    assert np.abs(found.mean(axis=0) - velocity).max() < 0.15
    assert np.median(np.linalg.norm(found - velocity, axis=1)) < 0.3


def test_a_larger_distance_sees_more_of_the_motion() -> None:
    spec = FlowSpec(distance=3)
    fields = flow_of(moving((1.0, 0.5), frames=8), spec)
    assert len(fields) == 5
    assert np.abs(middle(np.stack(fields)).mean(axis=(0, 1, 2)) - (3, 1.5)).max() < 0.15


def test_at_half_the_size_vectors_are_half_as_long() -> None:
    fields = flow_of(moving((4.0, 0.0)), FlowSpec(short_side=48))
    assert fields[0].shape == (48, 48, 2)
    assert np.abs(middle(np.stack(fields)).mean(axis=(0, 1, 2)) - (2, 0)).max() < 0.15


def test_a_clip_of_too_few_frames_has_one_field_without_motion() -> None:
    (only,) = flow_of(moving((3.0, 0.0), frames=1), FlowSpec())
    assert only.shape == (96, 96, 2) and not only.any()


@given(st.lists(st.floats(-40, 40, width=32), min_size=2, max_size=2), st.sampled_from([8, 20]))
def test_8_bits_are_within_half_a_step_and_keep_zero(vector: list[float], bound: int) -> None:
    flow = np.array([[vector, [0, 0]]], np.float32)
    stored = quantise(flow, bound)
    assert stored.min() >= 1 and (stored[0, 1] == 128).all()
    back = pixels(stored, bound)
    assert np.abs(back - np.clip(flow, -bound, bound)).max() <= bound / 127 / 2 + 1e-5
    # Mirrored vectors are exactly the negated ones.
    assert (quantise(-flow, bound) == (256 - stored.astype(int))).all()


def test_the_loss_is_that_of_the_clips_vectors() -> None:
    flow = np.array([[[3.0, 4.0], [30.0, 0.0]]])
    found = loss(flow, 20)
    assert found.length == pytest.approx((5 + 30) / 2)
    assert found.clipped == 0.5
    assert found.error == pytest.approx(10 / 2, abs=0.1)


def test_what_was_computed_is_read_again_and_named_by_content_and_spec(tmp_path: Path) -> None:
    clips = Moving([moving((2.0, 0.0)), moving((-2.0, 0.0), seed=1)])
    store = FlowStore(clips, FlowSpec(), tmp_path)
    assert store.missing([0, 1]) == [0, 1]
    first = np.array(store.flow(0))
    assert first.dtype == np.uint8 and first.shape == (5, 96, 96, 2)
    assert abs(middle(pixels(first, 20)).mean(axis=(0, 1, 2))[0] - 2) < 0.2
    assert store.missing([0, 1]) == [1]
    facts = store.facts(0)
    assert facts.pairs == 5 and facts.seconds > 0 and 0 < facts.loss.error < 20 / 127
    reads = clips.read
    again = FlowStore(clips, FlowSpec(), tmp_path)
    assert (again.flow(0) == first).all() and clips.read == reads
    for other in (FlowSpec("farneback"), FlowSpec(bound=8), FlowSpec(short_side=64)):
        assert FlowStore(clips, other, tmp_path).missing([0]) == [0]
        assert other.identity() != FlowSpec().identity()
    # A damaged file is computed again.
    (file,) = tmp_path.glob("*/*.npy")
    damaged = file.read_bytes()[:200]
    file.unlink()
    file.write_bytes(damaged)
    assert (FlowStore(clips, FlowSpec(), tmp_path).flow(0) == first).all()


def test_flow_of_clips_at_another_size_is_that_of_all_networks(tmp_path: Path) -> None:
    large = Moving([moving((2.0, 0.0))])
    small = Moving([np.ascontiguousarray(large.frames(0)[:, ::2, ::2])])
    first = FlowStore(large, FlowSpec(), tmp_path).flow(0)
    store = pickle.loads(pickle.dumps(FlowStore(small, FlowSpec(), tmp_path, large)))
    assert store.missing([0]) == []
    assert (store.flow(0) == first).all() and first.shape == (5, 96, 96, 2)
    assert store.frames(0).shape == (6, 48, 48, 3)


def test_warped_flow_is_without_the_cameras_motion(tmp_path: Path) -> None:
    """A textured square moves right over a ground that the camera pans to the left."""
    clip = moving((-3.0, 1.0), side=160)
    thing = texture(5, 64)
    for t in range(len(clip)):
        left = 30 + 2 * t
        clip[t, 70:134, left : left + 64] = np.rint(thing)[..., None].astype(np.uint8)
    store = FlowStore(Moving([clip]), FlowSpec(short_side=160), tmp_path)
    plain, warped = pixels(store.flow(0), 20), pixels(store.warped(0), 20)
    ground = np.s_[:, 14:44, 20:-24]  # content enters from the right
    assert np.abs(plain[ground].mean(axis=(0, 1, 2)) - (-3, 1)).max() < 0.3
    assert np.abs(warped[ground]).mean() < 0.2
    # The square keeps its motion against the ground: 2 - (-3) and 0 - 1.
    inside = np.stack([warped[t, 86:118, 46 + 2 * t : 78 + 2 * t] for t in range(5)])
    assert np.abs(np.median(inside, axis=(0, 1, 2)) - (5, -1)).max() < 0.6


def test_warped_flow_of_a_blank_clip_is_plain(tmp_path: Path) -> None:
    blank = np.full((3, 40, 40, 3), 90, np.uint8)
    store = FlowStore(Moving([blank]), FlowSpec(), tmp_path)
    assert (store.warped(0) == store.flow(0)).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "diss"}, "did you mean 'dis'"),
        ({"distance": 0}, "flow distance = 0 must be at least 1"),
        ({"bound": 0.0}, "flow bound = 0 must be more than 0"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FlowSpec(**fields)  # type: ignore[arg-type]


def test_without_opencv_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match=r"pip install 'expand3d\[flow\]'"):
        flow_of(moving((1.0, 0.0)), FlowSpec())
