"""The configuration of a study: every key of a study file, each of which is also a flag of `run`.

A study file is TOML: the keys of all sections at the top, and `[recipe]` for fields of the profile
that are to differ. The flag of a key is the key with dashes (`time_limit`, `--time-limit`); `name`
alone is `--study`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_type_hints

from pydantic import model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from expand3d.core.budget import Budget
from expand3d.core.errors import BudgetError, ConfigError, nearest
from expand3d.core.plugins import STRATEGIES
from expand3d.core.recipe import Recipe
from expand3d.core.units import Duration, Size
from expand3d.study.flag_names import RENAMED
from expand3d.study.folder import hide_password
from expand3d.study.rules import StudyName
from expand3d.study.sections import (
    STRICT,
    TABLES,
    Data,
    Execution,
    Search,
    Training,
    is_path,
)
from expand3d.study.strategy_keys import (
    GENERATION,
    SAMPLERS,
    refuse_multigrid_in_parts,
    refuse_unused,
    refuse_without_parents,
    refuse_without_race,
)

#: Rungs of a race as shares of a whole training, where the study names none. At an eighth the order
#: of networks had nothing to do with their order in the end (docs/strategies.md).
SHARES = (1 / 4, 1 / 2)
#: The keys as records have them, in this order.
STORED = (
    *("budget", "name", "data", "prefix", "family", "start", "profile", "recipe", "final_recipe"),
    *("seed", "strategy", "trials", "batch", "training_limit", "schedule", "beam", "growth"),
    *("ratio", "first_clip", "select", "folds", "repeats", "fps", "val", "test", "val_groups"),
    *("test_groups", "skip_bad", "cache_cap", "final", "device", "threads", "final_threads"),
    *("executor", "workers", "devices", "address", "time_limit", "candidate_timeout", "storage"),
    "root",
)
#: Keys of later versions, which a record holds where they differ from their default.
LATER = (
    *("flow", "flow_size", "flow_distance", "flow_bound", "val_data", "group_by_name"),
    "flow_data",
    *("rungs", "draws", "repeated", "only_first", "score_test"),
    *("allow_same", "init", "confirm", "expressible_in", "latencies", "race"),
    "more_seeds",
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudyConfig(Data, Search, Training, Execution):
    """Everything that `run` needs, each key once; ConfigError where a value is not legal.

    It takes values as a study file writes them, or parsed. Who needs one section asks for that.
    What names a family, a preset or a file is looked up when the study starts.
    """

    if TYPE_CHECKING:  # a type checker would ask for parsed values

        def __init__(self, **keys: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _batch_of_race(cls, given: Any) -> Any:
        """In a race of a sampler a batch has GENERATION networks where nobody says how many."""
        values = given.kwargs if isinstance(given, ArgsKwargs) else given
        if not isinstance(values, Mapping) or values.get("race") is not True or "batch" in values:
            return given
        if values.get("strategy") not in SAMPLERS:
            return given
        return ArgsKwargs((), {**values, "batch": GENERATION})

    @model_validator(mode="after")
    def _refuse_unused(self) -> Self:
        refuse_unused(self)
        refuse_without_parents(self)
        refuse_without_race(self)
        refuse_multigrid_in_parts(self)
        self.race_rungs()
        return self

    def implied_fields(self) -> Mapping[str, Any]:
        """In a race the weights are averaged: a cosine is not at its end where rungs are tested."""
        return {"anneal": "average"} if self.race else {}

    def race_rungs(self) -> tuple[int, ...]:
        """The clip visits after which networks that race are tested; () without a race.

        ConfigError where nothing says how long a training is, or a rung is not below that.
        """
        if not self.race:
            return ()
        recipe = self.training_recipe()
        if recipe.epochs is not None and not self.rungs:
            raise ConfigError(
                "race = true cuts a training of recipe.clip_visits into rungs, and the recipe has "
                "epochs; set recipe.clip_visits, or name the rungs (rungs = [125, 250])"
            )
        return self.rungs_below(recipe) or default_rungs(recipe)

    def rungs_below(self, recipe: Recipe) -> tuple[int, ...]:
        """`rungs` in their order; ConfigError where one is not below all visits of a training."""
        rungs, visits = tuple(sorted(self.rungs)), None
        if recipe.epochs is None:
            visits = recipe.clip_visits
        if visits is not None and rungs and rungs[-1] >= visits:
            raise ConfigError(
                f"rungs = {rungs[-1]} must be below the recipe's {visits} visits, which are tested "
                "at the end"
            )
        return rungs

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str = "") -> Self:
        """The configuration of a mapping of keys; errors start with `source` (a file's name)."""
        try:
            refuse_unknown(values)
            return cls(**values)
        except (BudgetError, ConfigError) as error:
            raise type(error)(f"{source}: {error}" if source else str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """The resolved whole, as `from_mapping` reads it; a storage's password is left out."""
        storage = None if self.storage is None else hide_password(self.storage)
        defaults = {item.name: item.default for item in dataclasses.fields(self)}
        later = [key for key in LATER if getattr(self, key) != defaults[key]]
        kept = {key: as_written(getattr(self, key)) for key in (*STORED, *later)}
        return kept | {"storage": storage}

    @property
    def side_by_side(self) -> int:
        """Networks that are trained at the same time where enough are proposed at once."""
        batched = "batch" in STRATEGIES.row(self.strategy).keys
        return min(self.at_a_time, self.batch) if batched else self.at_a_time

    def absolute(self) -> Self:
        """The same with the paths of data and weights independent of the working folder."""
        found = super().absolute()
        if self.latencies:
            whole = str(Path(self.latencies).expanduser().resolve())
            found = dataclasses.replace(found, latencies=whole)
        if not is_path(self.init):
            return found
        return dataclasses.replace(found, init=str(Path(self.init).expanduser().resolve()))

    def called(self, name: str) -> NamedConfig:
        """The same study under this name."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return NamedConfig(**{**values, "name": name})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NamedConfig(StudyConfig):
    """The configuration of a study that has begun, and has its name."""

    name: StudyName = dataclasses.field()  # without the default that it would inherit


Config = TypeVar("Config", bound=StudyConfig)


def default_rungs(recipe: Recipe) -> tuple[int, ...]:
    """SHARES of the visits of a training, in whole batches."""
    assert recipe.clip_visits is not None
    steps = {max(1, round(recipe.clip_visits * share / recipe.batch)) for share in SHARES}
    return tuple(sorted(n * recipe.batch for n in steps if n * recipe.batch < recipe.clip_visits))


def as_written(value: Any) -> Any:
    """A value as a study file or a record has it: the text of what was parsed, lists for tuples."""
    if isinstance(value, (Budget, Duration, Size)):
        return value.text
    if isinstance(value, Mapping):
        return {key: as_written(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def keys() -> dict[str, dataclasses.Field[Any]]:
    """Every key's field by name, in the order of `--help`; `metadata["help"]` says what it is."""
    found = {item.name: item for item in dataclasses.fields(StudyConfig)}
    return {key: found[key] for key in (*STORED, *LATER)}


@cache
def hints() -> Mapping[str, Any]:
    """Every key's type by name, with what it allows."""
    return get_type_hints(StudyConfig, include_extras=True)


def refuse_unknown(values: Mapping[str, Any]) -> None:
    """ConfigError with the nearest known key where a key is unknown."""
    for key in values:
        meant = next((name for name, flag in RENAMED.items() if flag == key), None)
        if meant is not None:
            raise ConfigError(f"unknown key {key!r}: the key of the flag --{key} is {meant!r}")
        if key not in (*STORED, *LATER):
            raise ConfigError(f"unknown key {key!r}{nearest(key, (*STORED, *LATER))}")


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


def with_flags(config: Config, flags: Mapping[str, Any]) -> Config:
    """The configuration with the keys in `flags` replaced; recipe fields add to those there."""
    refuse_unknown(flags)
    changed = dict(flags)
    for table in TABLES:
        if table in changed:
            changed[table] = {**getattr(config, table), **changed[table]}
    return dataclasses.replace(config, **changed)
