"""Keys of a study file as dataclass fields: each carries its rule and what `--help` shows of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from expand3d.core.plugins import Kind
from expand3d.study import rules
from expand3d.study.rules import Rule

#: The groups of keys, in the order in which `--help` shows them.
GROUPS = ("data", "search", "training", "running")


def key(
    help: str,
    legal: Rule | Sequence[str] | Kind,
    default: Any = dataclasses.MISSING,
    value: str = "N",
    *,
    group: str,
) -> Any:
    """A field of a configuration, with `rule`, `choices`, `help`, `group` and `value` as metadata.

    `legal` is the rule that the value obeys, the words to choose from, or a kind of plugins.
    `value` stands for the value in `--help` where there are no such words.
    """
    choices = () if callable(legal) else tuple(legal)
    metadata = {
        "rule": _rule(legal),
        "choices": choices,
        "help": help,
        "group": group,
        "value": value,
    }
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _rule(legal: Rule | Sequence[str] | Kind) -> Rule:
    if isinstance(legal, Kind):
        return rules.plugin(legal)
    return legal if callable(legal) else rules.choice(legal)


of_data, of_search, of_training, of_running = (partial(key, group=group) for group in GROUPS)
