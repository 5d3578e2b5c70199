"""Multi-view testing against the same written out by hand, and with too little memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from expand3d.data.crops import Region, read
from expand3d.networks import get_family
from expand3d.training.placement import place
from expand3d.training.scoring import Scorer, clip_score, score_clips
from expand3d.training.step import Ended
from tests.helpers.train_toys import make_recipe, make_store


def _network(plan: Any) -> nn.Module:
    torch.manual_seed(0)
    model = get_family("x3d").build(plan)
    nn.init.normal_(model.head.fc.weight)  # logits that differ from view to view
    return model


@pytest.mark.parametrize("crops", [1, 3])
def test_scores_are_of_the_mean_softmax_over_views(plan: Any, crops: int) -> None:
    store = make_store(6, side=40)
    recipe = make_recipe(test_views=2, test_crops=crops)
    model = _network(plan)
    scores = score_clips(
        Scorer(model, place(recipe, threads=1), views=4), store, [1, 4, 5], plan=plan, recipe=recipe
    )
    assert [score.key for score in scores] == ["clip01.avi", "clip04.avi", "clip05.avi"]
    for score, index in zip(scores, [1, 4, 5], strict=True):
        clip, label = store.frames(index), store.labels[index]
        length, height, width = clip.shape[:3]
        assert height == 40
        lefts = [(width - 40) // 2] if crops == 1 else [0, (width - 40) // 2, width - 40]
        side = 32 if crops == 1 else 36
        legal = length - 2  # two frames, two apart, cover three
        views = []
        for start in (legal // 4, 3 * legal // 4):
            for left in lefts:
                frames = np.array([start, start + 2])
                pixels = read(clip, frames, Region(0, left, 40), side).float().permute(3, 0, 1, 2)
                views.append((pixels / 255 - 0.45) / 0.225)
        model.eval()
        with torch.no_grad():
            mean = model(torch.stack(views)).softmax(dim=1).mean(dim=0)
        assert score.nll == pytest.approx(-math.log(mean[label]), abs=1e-4)
        assert score.rank == int(mean[1 - label] >= mean[label])
        assert score.group == store.groups[index]


def test_less_memory_means_smaller_passes_and_the_same_scores(plan: Any, monkeypatch: Any) -> None:
    store, recipe = make_store(6), make_recipe(bn_batch=8, test_views=2)
    placement = place(recipe, threads=1)
    indices = range(6)
    model = _network(plan)
    expected = score_clips(
        Scorer(model, placement, views=8), store, indices, plan=plan, recipe=recipe
    )
    forward = model.forward

    def small_memory(clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(clips)

    monkeypatch.setattr(model, "forward", small_memory)
    scorer = Scorer(model, placement, views=8)
    scores = score_clips(scorer, store, indices, plan=plan, recipe=recipe)
    assert [score.nll for score in scores] == pytest.approx([s.nll for s in expected], abs=1e-5)
    assert [note.split("with ")[1] for note in scorer.notes] == [
        "4 views a pass",
        "2 views a pass",
    ]


def test_memory_too_small_for_one_view_is_an_error(plan: Any, monkeypatch: Any) -> None:
    model = _network(plan)

    def no_memory(clips: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(model, "forward", no_memory)
    scorer = Scorer(model, place(make_recipe(), threads=1), views=4)
    with pytest.raises(MemoryError):
        scorer.probabilities((torch.zeros(4, 2, 32, 32, 3, dtype=torch.uint8),))


def test_an_output_that_is_not_finite_is_divergence(plan: Any) -> None:
    store, recipe, model = make_store(2), make_recipe(), _network(plan)
    with torch.no_grad():
        model.head.fc.bias.fill_(float("nan"))
    scorer = Scorer(model, place(recipe, threads=1), views=4)
    with pytest.raises(Ended, match="not finite") as ended:
        score_clips(scorer, store, [0, 1], plan=plan, recipe=recipe)
    assert ended.value.status == "diverged"


def test_testing_leaves_the_network_as_it_was(plan: Any) -> None:
    store, recipe, model = make_store(4), make_recipe(), _network(plan)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scorer = Scorer(model.train(), place(recipe, threads=1), views=4)
    score_clips(scorer, store, range(4), plan=plan, recipe=recipe)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_tie_counts_against_the_true_class() -> None:
    """A network that says nothing is not right by the order of the classes."""
    equal = np.full(4, 0.25)
    assert [clip_score(equal, key="a", label=label).rank for label in range(4)] == [3] * 4
    tied = np.array([0.4, 0.4, 0.2])
    assert clip_score(tied, key="a", label=0).rank == 1
    assert clip_score(tied, key="a", label=2).rank == 2
    assert clip_score(np.array([0.5, 0.3, 0.2]), key="a", label=0).rank == 0
