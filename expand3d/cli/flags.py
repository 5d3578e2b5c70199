"""Flags of `run` and `resume`, made from the keys of a study file so that the two never differ."""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Collection
from typing import Any

from expand3d.core.errors import ConfigError, FactorError
from expand3d.networks.family import Family
from expand3d.study.config import TABLES, keys

#: Keys whose flag is not the key with dashes.
RENAMED = {"name": "study"}


def add_config_flags(parser: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """One flag per key of a study file (those in `only`, where given); all default to None."""
    for key, item in keys().items():
        if only is not None and key not in only:
            continue
        flag = "--" + RENAMED.get(key, key).replace("_", "-")
        options: dict[str, Any] = {"dest": key, "default": None, "help": item.metadata["help"]}
        if item.type == "bool":
            options["action"] = argparse.BooleanOptionalAction
        elif item.type == "tuple[int, int]":
            options.update(type=_pair, metavar="FRAMESxSTRIDE")
        elif item.type == "tuple[str, ...]":
            options.update(nargs="+", metavar="DEVICE" if key == "devices" else "GROUP")
        elif key in TABLES:
            options.update(action="append", metavar="FIELD=VALUE")
        elif "int" in str(item.type) or "float" in str(item.type):
            options.update(type=_number, metavar="N")
        else:
            options["metavar"] = "TEXT"
        parser.add_argument(flag, **options)


def config_values(args: argparse.Namespace) -> dict[str, Any]:
    """The keys that were given as flags, ready for StudyConfig."""
    given = {key: getattr(args, key, None) for key in keys()}
    values = {key: value for key, value in given.items() if value is not None}
    for table in TABLES:
        if table in values:
            values[table] = dict(_field(text) for text in values[table])
    return values


def setting(family: Family, text: str) -> tuple[str, float]:
    """The factor and its value that --set `text` says."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FactorError(f"--set {text!r} must be NAME=NUMBER, for example gamma_w=1.5")
    return family.spell(name.strip(), number)


def _number(text: str) -> int | float | str:
    """A number where it is one; other text is left for the key's rule to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _pair(text: str) -> tuple[Any, ...]:
    return tuple(_number(part) for part in text.lower().replace(",", "x").split("x"))


def _field(text: str) -> tuple[str, Any]:
    """FIELD=VALUE with the value as TOML would read it, or as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"recipe field {text!r} must be FIELD=VALUE, such as clip_visits=2000")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
