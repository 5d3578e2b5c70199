"""Frames and crops of multi-view tests, beside what the codebases themselves gave."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from expand3d.core.errors import ConfigError
from expand3d.data.decode import decode
from expand3d.data.protocols import MultiView, get_rule, read_views, refuse_other_inputs
from expand3d.networks import get_family, get_preset
from tests.helpers.made_videos import write_video
from tests.helpers.train_toys import make_plan

GIVEN = Path(__file__).resolve().parents[3] / "shared" / "reference" / "peers" / "views.json.gz"


def frames(rule: str, length: int, fps: float, clip: tuple[int, int], views: int) -> Any:
    found = get_rule(rule).frames(
        length, fps=fps, target_fps=30, frames=clip[0], stride=clip[1], views=views
    )
    return found.tolist()


def test_frames_as_the_codebases_gave_them() -> None:
    """Some of what PySlowFast 287ec007 and MMAction2 4d6c9347 gave when they ran."""
    first, second = frames("pyslowfast", 300, 30, (13, 6), 10)[:2]
    assert first == [0, 6, 12, 19, 25, 32, 38, 44, 51, 57, 64, 70, 77]
    assert second == [22, 28, 35, 41, 47, 54, 60, 67, 73, 79, 86, 92, 99]
    assert frames("pyslowfast", 300, 25, (13, 6), 10)[9][:4] == [211, 216, 222, 227]
    last = frames("mmaction2", 300, 25, (13, 6), 10)[9]
    assert last == [227, 233, 239, 245, 251, 257, 263, 269, 275, 281, 287, 293, 299]


@pytest.mark.skipif(not GIVEN.is_file(), reason="the codebases' answers are not on this machine")
def test_all_that_the_codebases_gave() -> None:
    given = json.loads(gzip.decompress(GIVEN.read_bytes()))
    for case in given["temporal"]:
        clip = case["num_frames"], case["sampling_rate"]
        for rule, key in (("pyslowfast", "indices"), ("mmaction2", "mmaction2_indices")):
            found = frames(rule, case["video_frames"], case["fps"], clip, case["views"])
            assert found == case[key], (rule, case["video_frames"], clip)
    for case in given["spatial"]:
        size, crop = (case["height"], case["width"]), case["crop"]
        theirs = get_rule("pyslowfast")
        resized = theirs.resized(*size, case["short_side"])
        assert list(resized) == case["resized"]
        places = [list(place) for place in theirs.places(*resized, crop, 3)]
        assert places == case["crop_tops_lefts"]
        assert theirs.places(*resized, crop, 1) == [tuple(places[1])]
        other = get_rule("mmaction2")
        resized = other.resized(*size, case["short_side"])
        assert list(resized) == case["mmaction2_resized"]
        assert other.places(*resized, crop, 1) == [tuple(case["mmaction2_center_crop_top_left"])]
        three = case["mmaction2_three_crop_tops_lefts"]
        if isinstance(three, str):
            with pytest.raises(ConfigError):
                other.places(*resized, crop, 3)
        else:
            assert [list(place) for place in other.places(*resized, crop, 3)] == three


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (20, 6, 8, 3)).astype(np.uint8)
    large = [np.kron(frame, np.ones((8, 8, 1), dtype=np.uint8)) for frame in noise]
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", large, rate=25)


def test_views_are_cut_from_the_frames_by_the_rule(video: Path) -> None:
    """By hand: frames 0 and 2 of view 0, and so on, at 25 frames a second of 30."""
    plan = make_plan(frames=2, stride=2)
    views = read_views(video, plan, MultiView("pyslowfast", 2, 3, 36, 30.0))
    assert views.shape == (6, 2, 36, 36, 3)
    whole = torch.from_numpy(decode(video, fps=25, short_side=None)).permute(0, 3, 1, 2)
    assert whole.shape == (20, 3, 48, 64)
    resized = interpolate(whole.float(), size=(36, 48), mode="bilinear").round().byte()
    span = 4 * 25 / 30
    starts = [0.0, (20 - span) / 2]
    for view, start in enumerate(starts):
        numbers = [int(start), int(start + span - 1)]
        for place, left in enumerate((0, 6, 12)):
            wanted = resized[numbers][..., left : left + 36].permute(0, 2, 3, 1)
            assert torch.equal(views[3 * view + place], wanted)


@pytest.mark.parametrize(
    "preset", ["twostream-cnnm-flow", "hidden-motionnet-vgg16", "tsn-bninception-rgb"]
)
def test_networks_that_read_more_than_a_clip_of_frames_are_refused(preset: str) -> None:
    """Flow, stacks of frames, and segments."""
    genotype = get_preset(preset).genotype
    plan = get_family(genotype.family).resolve(genotype)
    with pytest.raises(ConfigError, match="only networks that read one clip of frames"):
        refuse_other_inputs(plan)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'pyslowfast'"):
        get_rule("slowfast")
