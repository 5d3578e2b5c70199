"""The check that studies scored the same thing, and the list of what else they differ in."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from expand3d.core.errors import ConfigError
from expand3d.core.quantity import LATENCY
from expand3d.report.study.view import StudyView
from expand3d.study.config import StudyConfig

#: Keys beside the recipe that change what a training sees or how a winner is chosen.
KEYS = ("fps", "init", "seed", "val", "test", "val_groups", "test_groups")


def config_of(view: StudyView) -> StudyConfig:
    """The configuration of a recorded study."""
    assert view.config is not None, f"{view.name} was loaded from a record"
    return view.config


def refuse_different(views: Sequence[StudyView]) -> None:
    """ConfigError naming two studies, and what differs, whose scores or costs do not compare.

    What must agree: the classes, the content of the data, the clips that each fold holds out, the
    number of seeds of each, and what is counted as cost (a latency: on what it was measured).
    Budgets may differ. Every study has a scored network.
    """
    first = views[0]
    for view in views[1:]:
        for what, hint in _differences(first, view):
            raise ConfigError(
                f"studies {first.name!r} and {view.name!r} cannot be compared: {what}; {hint}"
            )


def _differences(a: StudyView, b: StudyView) -> Iterator[tuple[str, str]]:
    """Pairs of a difference that forbids a comparison and of what would allow it."""
    same_data = "name studies of the same data"
    if a.classes != b.classes:
        if len(a.classes) != len(b.classes):
            yield f"they have {len(a.classes)} and {len(b.classes)} classes", same_data
        pairs = zip(a.classes, b.classes, strict=False)
        one, other = next(pair for pair in pairs if pair[0] != pair[1])
        yield f"their classes differ ({one!r} and {other!r})", same_data
    if a.fingerprint != b.fingerprint:
        yield f"their data differ (fingerprints {a.fingerprint} and {b.fingerprint})", same_data
    for key in ("folds", "repeats"):
        one, other = getattr(config_of(a), key), getattr(config_of(b), key)
        if one != other:
            yield f"{key} = {one} and {other} give different estimates", f"run both with one {key}"
    mine, theirs = _held_out(a), _held_out(b)
    if mine != theirs:
        here, there = frozenset().union(*mine), frozenset().union(*theirs)
        what = f"their validation clips differ ({len(here)} and {len(there)}, {{}})"
        both = len(here & there)
        yield (
            what.format("in other folds" if here == there else f"{both} in both"),
            f"run both with one split (seed = {config_of(a).seed} and {config_of(b).seed}, val, "
            "test and groups)",
        )
    if a.quantity != b.quantity:
        yield (
            f"their budgets {a.budget_text!r} and {b.budget_text!r} count {a.quantity.noun} and "
            f"{b.quantity.noun}",
            "name studies whose budgets begin with one quantity",
        )
    if a.quantity is LATENCY and a.timed_on != b.timed_on:
        yield (
            f"their latencies are of {a.timed_on} and of {b.timed_on}",
            "name studies that were measured alike",
        )


def _held_out(view: StudyView) -> set[frozenset[str]]:
    """The clips that each fold was scored on; every complete trial has the same."""
    return {
        frozenset(score.key for score in training.scores)
        for training in view.complete[0].trainings.values()
    }


def trained_unlike(views: Sequence[StudyView]) -> str | None:
    """One line on what differs in how networks were trained or chosen; None where nothing does."""
    settings = {view.name: _settings(view) for view in views}
    told = []
    for key in next(iter(settings.values())):
        names: dict[Hashable, list[str]] = {}
        for name, setting in settings.items():
            names.setdefault(setting[key], []).append(name)
        if len(names) > 1:
            values = (f"{_text(value)} ({', '.join(who)})" for value, who in names.items())
            told.append(f"{key} {', '.join(values)}")
    return f"not trained alike: {'; '.join(told)}" if told else None


def _settings(view: StudyView) -> dict[str, Hashable]:
    config = config_of(view)
    recipe = dataclasses.asdict(config.training_recipe())
    return {**recipe, **{key: getattr(config, key) for key in KEYS}, "chosen by": view.metric}


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_text, value)) if value else "none"
    if value is None:
        return "not set"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
