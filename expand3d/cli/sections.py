"""Sections of a study's configuration from flags, over those that a study already has."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from expand3d.cli.flags import config_values

#: Keys of a study that say which data it is.
DATA_KEYS = (
    *("data", "prefix", "val_data", "group_by_name", "fps", "val", "test", "val_groups"),
    *("test_groups", "skip_bad", "allow_same", "cache_cap"),
)
#: Keys of a study that say how optical flow is made.
FLOW_KEYS = ("flow", "flow_size", "flow_distance", "flow_bound")


def given_keys(args: argparse.Namespace, keys: Collection[str]) -> dict[str, Any]:
    """The values of those `keys` that were given as flags."""
    return {key: value for key, value in config_values(args).items() if key in keys}


def section_of(section: Any, given: Mapping[str, Any], base: Any = None) -> Any:
    """The section with the given values over those of `base`, a configuration that has it."""
    names = [item.name for item in dataclasses.fields(section)]
    kept = {} if base is None else {name: getattr(base, name) for name in names}
    return section(**{**kept, **{name: given[name] for name in names if name in given}})
