"""Flags of `run` and others, made from the keys of a study file so that the two never differ."""

from __future__ import annotations

import argparse
import dataclasses
import math
import tomllib
from collections.abc import Collection
from typing import Any, get_args, get_origin

from expand3d.core.errors import ConfigError, FactorError
from expand3d.networks import FAMILIES
from expand3d.networks.family import Family
from expand3d.study.flag_names import RENAMED
from expand3d.study.folder import DEFAULT_ROOT


def add_config_flags(
    parser: argparse.ArgumentParser, only: Collection[str] | None = None, *, defaults: bool = True
) -> None:
    """One flag per key of a study file (those in `only`, where given); all default to None.

    `defaults` shows the defaults of a new study; a study that is there goes by its record.
    """
    # Imported where flags are made of keys: pydantic takes longer to load than `cost` to answer.
    from expand3d.study.config import keys
    from expand3d.study.sections import GROUPS

    groups: dict[str, Any] = {}
    for title in GROUPS:
        wanted = {
            key: item
            for key, item in keys().items()
            if item.metadata["group"] == title and (only is None or key in only)
        }
        if wanted:
            groups[title] = parser.add_argument_group(title)
        for key, item in wanted.items():
            flag = "--" + RENAMED.get(key, key).replace("_", "-")
            help = _help(key, item, default=defaults or key == "root")
            options: dict[str, Any] = {"dest": key, "default": None, "help": help}
            groups[title].add_argument(flag, **options, **_reading(key, item))


def _reading(key: str, item: dataclasses.Field[Any]) -> dict[str, Any]:
    """Options for argparse that read a key's value, and the word for it in `--help`."""
    from expand3d.study.config import hints
    from expand3d.study.rules import choices, parts
    from expand3d.study.sections import TABLES

    (kind, _), value = parts(hints()[key]), item.metadata["value"]
    if kind is bool:
        return {"action": Switch}
    if words := choices(hints()[key]):
        return {"choices": words}
    if key in TABLES:
        return {"action": "append", "metavar": value}
    if get_origin(kind) is tuple:
        many = get_args(kind)[-1] is Ellipsis
        if not many:
            return {"type": _pair, "metavar": value}
        numbers = parts(get_args(kind)[0])[0] in (int, float)
        return {"nargs": "+", "metavar": value, "type": _number if numbers else str}
    return {"type": _number if kind in (int, float) else str, "metavar": value}


class Switch(argparse.BooleanOptionalAction):
    """--KEY and --no-KEY, whose help is shown as it stands."""

    def __init__(self, help: str, **options: Any) -> None:
        super().__init__(**options)
        self.help = help  # argparse of Python 3.11 and 3.12 may add a default of its own


def _help(key: str, item: dataclasses.Field[Any], *, default: bool) -> str:
    """The help text of a key: legal values where the text leaves them open, and its default."""
    from expand3d.study.config import hints
    from expand3d.study.rules import legal, parts

    notes = []
    if key == "family":
        notes.append(f"one of {', '.join(FAMILIES)}")
    if parts(hints()[key])[0] in (int, float):
        notes.append(legal(hints()[key]))
    if default and item.default not in (dataclasses.MISSING, None, ()):
        notes.append(f"default: {_default_text(item.default)}")
    return item.metadata["help"] + (f" ({'; '.join(notes)})" if notes else "")


def _default_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        "x".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else f"{value}"
    )


def add_record_flags(parser: argparse.ArgumentParser, *, storage: bool = True) -> None:
    """The flags that say where the record of a study is."""
    from expand3d.study.config import keys

    where = ("root", "storage") if storage else ("root",)
    for key in where:
        item = keys()[key]
        default = DEFAULT_ROOT if key == "root" else None
        parser.add_argument(
            f"--{key}",
            default=default,
            metavar=item.metadata["value"],
            help=_help(key, item, default=True),
        )


def add_trained_argument(parser: argparse.ArgumentParser) -> None:
    """The trained network of commands that use one."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="STUDY for its winner, STUDY:NUMBER, ./DIR of train or export, or FILE.onnx",
    )


def add_force_flag(parser: argparse.ArgumentParser) -> None:
    """The flag without which no command replaces what is there."""
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def config_values(args: argparse.Namespace) -> dict[str, Any]:
    """The keys that were given as flags, ready for StudyConfig."""
    from expand3d.study.config import keys
    from expand3d.study.sections import TABLES

    given = {key: getattr(args, key, None) for key in keys()}
    values = {key: value for key, value in given.items() if value is not None}
    for table in TABLES:
        if table in values:
            values[table] = dict(recipe_field(text) for text in values[table])
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


def recipe_field(text: str) -> tuple[str, Any]:
    """FIELD=VALUE with the value as TOML would read it, or as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"recipe field {text!r} must be FIELD=VALUE, such as clip_visits=2000")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
