"""Changes that a study allows when it goes on, and the configuration that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.core.errors import StudyError
from expand3d.study.config import Config, StudyConfig, as_written, with_flags

#: Where things are and how fast they run: what cannot change a score, or is checked by content.
MAY_CHANGE = frozenset(
    (
        *("data", "prefix", "val_data", "device", "threads", "executor", "workers", "devices"),
        *("address", "final_threads", "time_limit", "candidate_timeout", "cache_cap", "storage"),
        *("flow_data", "root"),
    )
)
#: Limits that may become larger when a study is resumed, never smaller.
MAY_GROW = ("budget", "trials", "training_limit")


@dataclass(frozen=True)
class Differences:
    """Keys that differ between a record's configuration and another: free to change, and not.

    `limits` may change only to more, which `check_resume` does not judge.
    """

    allowed: tuple[str, ...]
    refused: tuple[str, ...]
    limits: tuple[str, ...] = ()


def differences(old: StudyConfig, new: StudyConfig) -> Differences:
    """The keys that differ, sorted by whether a study may change them when it is resumed."""
    before, after = old.to_json(), new.to_json()
    # A key of a later version is left out where it has its default.
    every = {**before, **after}
    changed = [key for key in every if before.get(key) != after.get(key)]
    return Differences(
        tuple(key for key in changed if key in MAY_CHANGE),
        tuple(key for key in changed if key not in MAY_CHANGE and key not in MAY_GROW),
        tuple(key for key in changed if key in MAY_GROW),
    )


def check_resume(old: StudyConfig, new: StudyConfig) -> None:
    """StudyError that names what may not change under a record."""
    refused = differences(old, new).refused
    if refused:
        changes = ", ".join(
            f"{key} ({as_written(getattr(old, key))!r} to {as_written(getattr(new, key))!r})"
            for key in refused
        )
        raise StudyError(
            f"study {old.name!r} cannot change {changes} on the way; start a new study with it, "
            f"or change only {', '.join(sorted(MAY_CHANGE))}, or extend {' or '.join(MAY_GROW)}"
        )


def continued(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with which a recorded study goes on.

    The last training's threads were made of the others': where these change, they are made anew.
    """
    if changes.get("threads", config.threads) != config.threads:
        changes = {"final_threads": None, **changes}
    return with_flags(config, changes)
