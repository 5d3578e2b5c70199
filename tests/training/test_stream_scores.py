"""Each stream of a network by itself, and fused by a linear SVM."""

from __future__ import annotations

import builtins
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expand3d.core.errors import ConfigError
from expand3d.core.recipe import get_profile
from expand3d.data.flow.store import FlowSpec, FlowStore
from expand3d.networks import get_family
from expand3d.networks.families.segments import streams
from expand3d.run.evaluate_streams import _resampled, with_segments
from expand3d.training.batches import test_batch as batch_of
from expand3d.training.late_fusion import stacked, svm_fusion
from expand3d.training.placement import place
from expand3d.training.stream_scores import stream_probabilities
from tests.helpers.moving import Moving, moving

RECIPE = dataclasses.replace(get_profile("quick"), test_views=2, batch=3, bn_batch=3)


def test_a_streams_probabilities_are_those_of_its_network_alone(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    clips = Moving([moving((1.0, 0.0), frames=8, seed=n, side=40) for n in range(3)])
    store = FlowStore(clips, FlowSpec(short_side=40), tmp_path)
    base = get_family("tsn").base.replace(gamma_s=32 / 112, gamma_w=1 / 8)
    plan = get_family("tsn").resolve(base.replace(streams=streams("rgb", "flow")), num_classes=4)
    torch.manual_seed(0)
    network = get_family("tsn").build(plan).eval()
    placement = place(RECIPE, threads=1)
    told: list[int] = []
    args: Any = (network, placement, store, [2, 0])
    found = stream_probabilities(*args, plan=plan, recipe=RECIPE, tell=told.append)
    assert list(found) == ["rgb", "flow", "all"] and told[-1] == 2
    views = batch_of(store, [2, 0], plan=plan, recipe=RECIPE, start=0, count=4).views
    with torch.no_grad():
        inputs = placement.inputs(views, plan.kinds)
        alone = {
            name: getattr(network, name)(clip).double().softmax(1).reshape(2, 2, 4).mean(1).numpy()
            for name, clip in zip(("rgb", "flow"), inputs, strict=True)
        }
    for name, wanted in alone.items():
        assert np.allclose(found[name], wanted, atol=1e-6)
    # TSN's flow counts one and a half times.
    assert np.allclose(found["all"], (alone["rgb"] + 1.5 * alone["flow"]) / 2.5, atol=1e-6)


def test_an_svm_finds_what_neither_stream_tells_alone() -> None:
    pytest.importorskip("sklearn")
    # Each stream tells a pair of classes from the other pair; both together tell all four.
    halves = np.array([[0.8, 0.2], [0.2, 0.8]])
    labels = np.arange(40) % 4
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 40, 2))
    one, two = halves[labels // 2] + noise[0], halves[labels % 2] + noise[1]
    found = svm_fusion([one[:20], two[:20]], labels[:20].tolist(), [one[20:], two[20:]])
    assert (found == labels[20:]).all()
    with np.testing.assert_raises(AssertionError):
        np.testing.assert_array_equal(one.argmax(1), labels)


def test_each_streams_scores_have_a_length_of_one() -> None:
    one, two = np.array([[0.3, 0.4]]), np.array([[1.0, 0.0]])
    assert stacked([one, 7 * two]) == pytest.approx(np.array([[0.6, 0.8, 1.0, 0.0]]))


def test_without_scikit_learn_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return whole(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'expand3d\[svm\]'"):
        svm_fusion([np.eye(2)], [0, 1], [np.eye(2)])


def test_25_segments_are_25_pictures_of_the_same_weights() -> None:
    family = get_family("tsn")
    three = family.resolve(family.base.replace(segments=3), num_classes=4)
    many = with_segments(three, 25)
    assert many.inputs[0].segments == 25
    assert family.cost(many).macs * 3 == family.cost(three).macs * 25
    family.build(many).load_state_dict(family.build(three).state_dict())
    weighted = family.resolve(family.base.replace(segments=3, consensus=2), num_classes=4)
    clip = get_family("x3d").resolve(get_family("x3d").base, num_classes=4)
    for plan in (weighted, clip):
        with pytest.raises(ConfigError, match="25 segments"):
            with_segments(plan, 25)


def test_clips_of_a_group_are_drawn_together() -> None:
    """Of 10 groups half are right: resamples hold a number of right groups of Binomial(10, 1/2)."""
    groups = [f"g{n}" for n in range(10) for _ in range(12)]
    right = np.repeat(np.arange(10) % 2, 12).astype(float)[None]
    drawn = _resampled(right, groups, [str(n) for n in range(120)])
    assert drawn is not None and set(np.round(drawn * 10).ravel()) <= set(range(11))
    assert drawn.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.1)
    assert _resampled(right[:, :24], groups[:24], [str(n) for n in range(24)]) is None
