"""Recipes: lengths, and what they refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.recipe import PROFILES, Recipe, get_profile


def test_length_is_whole_batches_never_fewer_visits_than_asked() -> None:
    visits = Recipe("a", 100, None, batch=16, bn_batch=16, lr=0.1)
    assert visits.steps_for(37) == 7  # 100 / 16 = 6.25
    epochs = Recipe("b", None, 3, batch=16, bn_batch=8, lr=0.1)
    assert epochs.steps_for(37) == 7  # 3 x 37 = 111 visits, 6.9 batches


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("batch", 24),
        ("lr", 0),
        ("lr", "fast"),
        ("lr", float("nan")),
        ("jitter", (0.9, 1.2)),
        ("jitter", (1.4, 1.2)),
        ("jitter", 1.2),
        ("test_crops", 2),
        ("amp", "bf16"),
        ("dropout", 1.0),
        ("clip_visits", 10.5),
        ("flip", "no"),
        ("warmup", 1.0),
    ],
)
def test_illegal_values_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{field} = "):
        dataclasses.replace(PROFILES["quick"], **{field: value})


def test_the_nearest_batch_is_named() -> None:
    with pytest.raises(ConfigError, match="the nearest is 32"):
        get_profile("quick", {"batch": 33})


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_survive_json(name: str) -> None:
    assert Recipe.from_json(PROFILES[name].to_json()) == PROFILES[name]
    listed = {**PROFILES[name].to_json(), "jitter": list(PROFILES[name].jitter)}
    assert Recipe.from_json(listed) == PROFILES[name]
