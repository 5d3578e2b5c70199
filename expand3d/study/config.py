"""The configuration of a study: every key of a study file, each of which is also a flag of `run`.

A study file is TOML: the keys below at the top, and `[recipe]` for fields of the profile that are
to differ. The flag of a key is the key with dashes (`time_limit`, `--time-limit`); `name` alone
is `--study`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.plugins import EXECUTORS, STRATEGIES
from expand3d.core.recipe import PROFILES, Recipe, get_profile
from expand3d.study import rules
from expand3d.study.folder import DEFAULT_ROOT, check_name, hide_password
from expand3d.study.keys import of_data, of_running, of_search, of_training
from expand3d.study.rules import Rule
from expand3d.study.strategy_keys import EXPAND, refuse_unused

BUNDLED = "bundled"


def _recipe(value: Any) -> dict[str, Any]:
    """The table of replaced recipe fields, each of its field's type."""
    if not isinstance(value, Mapping):
        raise ValueError("a table of recipe fields")
    fields = {item.name: str(item.type) for item in dataclasses.fields(Recipe)}
    fields.pop("profile")
    for key in value:
        if key not in fields:
            raise ConfigError(f"the recipe has no key {key!r}{nearest(key, fields)}")
    return {
        key: rules.apply(_RECIPE_RULES[fields[key]], f"recipe.{key}", item)
        for key, item in value.items()
    }


def _jitter(value: Any) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("two numbers such as [1.14, 1.43]")
    low, high = (rules.number(0)(item) for item in value)
    return (low, high)


_device = rules.pattern(r"cpu|mps|cuda(:\d+)?", "cpu, cuda, cuda:N or mps")


def _devices(value: Any) -> tuple[str, ...]:
    """A list of devices, as a list or separated by commas."""
    listed = [value] if isinstance(value, str) else value
    items = [part for item in rules.names(listed) for part in item.split(",")]
    return tuple(_device(item.strip()) for item in items)


#: By the annotation of the recipe's field; the recipe itself knows its ranges.
_RECIPE_RULES: Mapping[str, Rule] = {
    "int": rules.whole(0),
    "int | None": rules.optional(rules.whole(1)),
    "float": rules.number(0),
    "bool": rules.flag,
    "str": rules.text("auto"),
    "tuple[float, float]": _jitter,
}


#: The recipe's fields, for `--help`.
_FIELDS = ", ".join(item.name for item in dataclasses.fields(Recipe) if item.name != "profile")
#: Keys that are tables of recipe fields.
TABLES = ("recipe", "final_recipe")


def _profile_with(profile: str, fields: Mapping[str, Any]) -> Recipe:
    """The profile with some fields replaced; its length is in epochs or in visits, not both."""
    given = dict(fields)
    if given.get("clip_visits"):
        given.setdefault("epochs", None)
    return get_profile(profile, given)


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Everything that `run` needs; ConfigError where a value is not legal.

    What names a family, a preset or a file is looked up when the study starts.
    """

    budget: str = of_search(
        "what one clip may cost: 4GFLOPs, 3.8Mparams, 2GiB, 25ms@cuda or several: 4G,25ms",
        rules.text("4GFLOPs"),
        value="COST",
    )
    name: str | None = of_running(
        "the study's name; made up if left out", rules.optional(check_name), None, "NAME"
    )
    data: str = of_data(
        "folder, list or CSV of labelled videos", rules.text("videos/"), BUNDLED, "PATH"
    )
    prefix: str | None = of_data(
        "folder that the paths in a list start from",
        rules.optional(rules.text("videos/")),
        None,
        "DIR",
    )
    family: str = of_search("network family", rules.text("x3d"), "x3d", "FAMILY")
    start: str | None = of_search(
        "where to expand from: a preset, STUDY:NUMBER for a trial, or an exported network.json; "
        "the family's base if left out",
        rules.optional(rules.text("x3d-xs")),
        None,
        "NETWORK",
    )
    profile: str = of_training("how candidates are trained", tuple(PROFILES), "quick")
    recipe: Mapping[str, Any] = of_training(
        f"fields of the profile that differ; may be given several times: {_FIELDS}",
        _recipe,
        {},
        "FIELD=VALUE",
    )
    final_recipe: Mapping[str, Any] = of_training(
        "fields of profile final, for the winner's last training, that differ",
        _recipe,
        {},
        "FIELD=VALUE",
    )
    seed: int = of_training("seed of splits, weights and augmentation", rules.whole(0), 0)
    strategy: str = of_search(
        "who proposes networks: the expansion, or a sampler", STRATEGIES, EXPAND
    )
    trials: int = of_search("networks that a sampler proposes in all", rules.whole(1), 30)
    batch: int = of_search("networks that a sampler proposes at once", rules.whole(1), 1)
    training_limit: str | None = of_search(
        "propose no more once a sampler's trainings have taken this many multiply-adds, such as "
        "2.5TMACs (the plan and `report` count them)",
        rules.optional(rules.text("2.5TMACs")),
        None,
        "COST",
    )
    schedule: str = of_search(
        "fit: stop within the budget; paper: overshoot, then contract the last axis; "
        "paper-all: every axis",
        ("fit", "paper", "paper-all"),
        "fit",
    )
    beam: int = of_search(
        "networks of a step of the expansion that the next one expands", rules.whole(1), 1
    )
    growth: str = of_search(
        "what a step of the expansion grows: single axes, all at once (compound), or both",
        ("single", "compound", "both"),
        "single",
    )
    ratio: float = of_search(
        "cost of a step over the step before", rules.number(1, open_low=True), 2.0
    )
    first_clip: tuple[int, int] = of_search(
        "frames and stride when time is first expanded", rules.pair, (2, 14), "FRAMESxSTRIDE"
    )
    select: str = of_search(
        "what decides a step; auto: nll below 1000 validation clips",
        ("auto", "top1", "nll"),
        "auto",
    )
    folds: int = of_training("folds of cross-validation; 1 is a single split", rules.whole(1), 1)
    repeats: int = of_training("seeds that each candidate is trained with", rules.whole(1), 1)
    fps: float = of_data("target frame rate", rules.number(0, open_low=True), 30.0)
    val: float | None = of_data(
        "share of clips for validation, where the data names none",
        rules.optional(rules.number(0, 1, open_low=True)),
        None,
        "SHARE",
    )
    test: float | None = of_data(
        "share of clips for the test part, where the data names none",
        rules.optional(rules.number(0, 1)),
        None,
        "SHARE",
    )
    val_groups: tuple[str, ...] = of_data(
        "groups that form the validation part", rules.names, (), "GROUP"
    )
    test_groups: tuple[str, ...] = of_data(
        "groups that form the test part", rules.names, (), "GROUP"
    )
    skip_bad: bool = of_data("go on without videos that cannot be read", rules.flag, False)
    cache_cap: str = of_data("most disk for decoded clips", rules.size, "20GiB", "SIZE")
    final: bool = of_training("train the winner once more with profile final", rules.flag, True)
    device: str = of_running(
        "auto, cpu, cuda, cuda:N or mps",
        rules.pattern(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, cuda:N or mps"),
        "auto",
        "DEVICE",
    )
    threads: int | None = of_running(
        "CPU threads of a training; all cores, shared by the workers, if left out",
        rules.optional(rules.whole(1)),
        None,
    )
    final_threads: int | None = of_running(
        "CPU threads of the winner's last training; on a CPU those of all workers on this machine "
        "together if left out",
        rules.optional(rules.whole(1)),
        None,
    )
    executor: str = of_running(
        "who trains candidates: here, processes on this machine, or ray",
        EXECUTORS,
        "here",
    )
    workers: int | None = of_running(
        "networks trained at the same time by processes or ray; one per device if left out",
        rules.optional(rules.whole(1)),
        None,
    )
    devices: tuple[str, ...] = of_running(
        "devices that go round among the workers, such as cuda:0,cuda:1", _devices, (), "DEVICE"
    )
    address: str | None = of_running(
        "HOST:PORT of a Ray cluster, or auto for the one that this machine is in; one is started "
        "here if left out",
        rules.optional(
            rules.pattern(r"auto|[^:/\s]+:\d+", "HOST:PORT such as 10.0.0.1:6379, or auto")
        ),
        None,
        "HOST:PORT",
    )
    time_limit: str | None = of_running(
        "end cleanly after this time in all, resumed parts included, such as 2h",
        rules.optional(rules.duration),
        None,
        "TIME",
    )
    candidate_timeout: str | None = of_running(
        "give up on a candidate after this time", rules.optional(rules.duration), None, "TIME"
    )
    storage: str | None = of_running(
        "URL of an Optuna storage for the record; NAME/study.db if left out",
        rules.optional(rules.pattern(r"\w+(\+\w+)?://.*", "a URL such as postgresql://host/db")),
        None,
        "URL",
    )
    root: str = of_running("folder where studies live", rules.text("studies"), DEFAULT_ROOT, "DIR")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            checked = rules.apply(item.metadata["rule"], item.name, getattr(self, item.name))
            object.__setattr__(self, item.name, checked)
        refuse_unused(self)
        for table in TABLES:
            fields = getattr(self, table)
            if fields.get("epochs") and fields.get("clip_visits"):
                raise ConfigError(
                    f"{table}.epochs and {table}.clip_visits exclude each other; set one"
                )
        self.training_recipe(), self.last_recipe()
        if (self.val or 0) + (self.test or 0) >= 1:
            raise ConfigError(f"val = {self.val:g} and test = {self.test:g} leave nothing to train")
        twice = sorted(set(self.val_groups) & set(self.test_groups))
        if twice:
            raise ConfigError(f"group {twice[0]!r} stands in val_groups and in test_groups")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str = "") -> StudyConfig:
        """The configuration of a mapping of keys; errors start with `source` (a file's name)."""
        try:
            refuse_unknown(values)
            if "budget" not in values:
                raise ConfigError("budget is missing; write one such as budget = '4GFLOPs'")
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}" if source else str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """The resolved whole, as `from_mapping` reads it; a storage's password is left out."""
        data = dataclasses.asdict(self)
        lists = {key: list(value) for key, value in data.items() if isinstance(value, tuple)}
        tables = {
            table: {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in getattr(self, table).items()
            }
            for table in TABLES
        }
        storage = None if self.storage is None else hide_password(self.storage)
        return {**data, **lists, **tables, "storage": storage}

    def training_recipe(self) -> Recipe:
        """The recipe of candidates: the profile with this study's fields."""
        return _profile_with(self.profile, self.recipe)

    def last_recipe(self) -> Recipe:
        """The recipe of the winner's last training: profile final with this study's fields.

        Whether clips may be mirrored is a fact of the data, so it holds here as for candidates.
        """
        return _profile_with("final", {"flip": self.training_recipe().flip, **self.final_recipe})

    @property
    def at_a_time(self) -> int:
        """Networks that are trained at the same time."""
        return self.workers or max(1, len(self.devices))

    @property
    def side_by_side(self) -> int:
        """Networks that are trained at the same time where enough are proposed at once."""
        batched = "batch" in STRATEGIES.row(self.strategy).keys
        return min(self.at_a_time, self.batch) if batched else self.at_a_time

    def absolute(self) -> StudyConfig:
        """The same study with the paths of its data independent of the working folder."""
        if self.data == BUNDLED:
            return self
        prefix = None if self.prefix is None else _absolute(self.prefix)
        return dataclasses.replace(self, data=_absolute(self.data), prefix=prefix)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def keys() -> dict[str, dataclasses.Field[Any]]:
    """Every key's field by name, in the order of `--help`; `metadata["help"]` says what it is."""
    return {item.name: item for item in dataclasses.fields(StudyConfig)}


def refuse_unknown(values: Mapping[str, Any]) -> None:
    """ConfigError with the nearest known key where a key is unknown."""
    for key in values:
        if key not in keys():
            raise ConfigError(f"unknown key {key!r}{nearest(key, keys())}")


def read_toml(path: str | Path) -> dict[str, Any]:
    """The keys of a study file, known ones only but unchecked; ConfigError names the file."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        refuse_unknown(values)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such study file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return values


def with_flags(config: StudyConfig, flags: Mapping[str, Any]) -> StudyConfig:
    """The configuration with the keys in `flags` replaced; recipe fields add to those there."""
    refuse_unknown(flags)
    changed = dict(flags)
    for table in TABLES:
        if table in changed:
            changed[table] = {**getattr(config, table), **changed[table]}
    return dataclasses.replace(config, **changed)
