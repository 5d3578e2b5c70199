"""The sections of a study's configuration: every key with its type, its default and its help.

A value is parsed once, here: a budget is a `Budget`, a time a `Duration`, a size a `Size`. Each
keeps the text that it was read from, which is what a record stores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import ConfigDict, StringConstraints, ValidationError, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from expand3d.core.budget import parse_budget
from expand3d.core.errors import ConfigError
from expand3d.core.plugins import EXECUTORS, FAMILIES, FLOWS, RESTRICTIONS, STRATEGIES
from expand3d.core.recipe import PROFILES, Recipe
from expand3d.core.trial import SCRATCH
from expand3d.core.units import Size
from expand3d.data.source import BUNDLED, OWN
from expand3d.study.folder import DEFAULT_ROOT
from expand3d.study.recipe_fields import FIELDS, RecipeFields, profile_with
from expand3d.study.rules import (
    Address,
    AnyDevice,
    Bytes,
    Clip,
    Cost,
    Count,
    Counts,
    Devices,
    Example,
    Flag,
    Names,
    OneOf,
    Positive,
    Ratio,
    Share,
    ShareOrNone,
    StudyName,
    Targets,
    Text,
    Time,
    TrainingLimit,
    Url,
    Whole,
    in_one_line,
    one_of,
)
from expand3d.study.strategy_keys import EXPAND, GENERATION

#: The groups of keys, in the order in which `--help` shows them.
GROUPS = ("data", "search", "training", "running")
#: Keys that are tables of recipe fields.
TABLES = ("recipe", "final_recipe")

if TYPE_CHECKING:
    from expand3d.data.flow.store import FlowSpec

#: Unknown keys are refused; values may be objects that were parsed before. What checks a class is
#: built when it is first used: building all of them takes longer than a command's `--help` may.
STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True)


def _key(help: str, default: Any = dataclasses.MISSING, value: str = "N", *, group: str) -> Any:
    """A field of a section; `value` stands for its value in `--help` where there are no choices."""
    metadata = {"help": help, "description": help, "group": group, "value": value}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_of_data, _of_search, _of_training, _of_running = (partial(_key, group=name) for name in GROUPS)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Section:
    """Some keys of a study; ConfigError in one line where a value is not legal."""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, given: Any, handler: Callable[[Any], Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            values = (given.kwargs if isinstance(given, ArgsKwargs) else given) or {}
            hints = get_type_hints(cls, include_extras=True)
            raise ConfigError(in_one_line(error, values, hints)) from None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data(Section):
    """The videos, their parts and their clips."""

    data: Annotated[Text, Example("videos/")] = _of_data(
        "folder, list or CSV of labelled videos", BUNDLED, "PATH"
    )
    prefix: Annotated[Text, Example("videos/")] | None = _of_data(
        "folder that the paths in a list start from", None, "DIR"
    )
    val_data: Annotated[Text, Example("val.txt")] | None = _of_data(
        "list of the validation part, where data is the list of the training part", None, "PATH"
    )
    group_by_name: Flag = _of_data(
        "groups are what the videos' names carry (v_Archery_g01_c02, person01_boxing_d1)", False
    )
    fps: Positive = _of_data("target frame rate", 30.0)
    val: Share | None = _of_data(
        "share of clips for validation, where the data names none", None, "SHARE"
    )
    test: ShareOrNone | None = _of_data(
        "share of clips for the test part, where the data names none", None, "SHARE"
    )
    val_groups: Names = _of_data("groups that form the validation part", (), "GROUP")
    test_groups: Names = _of_data("groups that form the test part", (), "GROUP")
    skip_bad: Flag = _of_data("go on without videos that cannot be read", False)
    allow_same: Flag = _of_data(
        "go on where one film stands on two sides or under two labels", False
    )
    cache_cap: Bytes = _of_data(
        "most disk for decoded clips; views of others are read from the videos",
        Size.read("20GiB"),
        "SIZE",
    )
    flow: Annotated[str, OneOf(FLOWS)] = _of_data(
        "method of optical flow, for networks that read it", "dis"
    )
    flow_size: Count = _of_data("short side in pixels at which flow is computed", 128)
    flow_distance: Count = _of_data("frames from one image of flow to the other", 1)
    flow_bound: Positive = _of_data("largest vector of flow in pixels", 20.0)
    flow_data: Annotated[Text, Example("flow/")] | None = _of_data(
        "folder of flow by another tool (flow_x_00001.jpg, u/ and v/), read and not computed",
        None,
        "DIR",
    )

    @model_validator(mode="after")
    def _refuse_parts(self) -> Self:
        if (self.val or 0) + (self.test or 0) >= 1:
            raise ConfigError(f"val = {self.val:g} and test = {self.test:g} leave nothing to train")
        twice = sorted(set(self.val_groups) & set(self.test_groups))
        if twice:
            raise ConfigError(f"group {twice[0]!r} stands in val_groups and in test_groups")
        if self.val_data and self.data == BUNDLED:
            raise ConfigError(
                f"val_data = {self.val_data!r} stands beside a list of the training part; set data"
            )
        return self

    def flow_spec(self) -> FlowSpec:
        """The way in which flow is computed and kept."""
        from expand3d.data.flow.store import FlowSpec

        return FlowSpec(self.flow, self.flow_size, self.flow_distance, self.flow_bound)

    def computed_flow(self) -> FlowSpec | None:
        """The way in which flow is computed; None where it is read, as another tool made it."""
        return None if self.flow_data else self.flow_spec()

    def absolute(self) -> Self:
        """The same with the paths of the data independent of the working folder."""
        from expand3d.data.source import absolute

        flow = absolute(self.flow_data) if self.flow_data else None
        if self.data == BUNDLED or self.data.startswith(OWN):
            return dataclasses.replace(self, flow_data=flow)
        prefix, val = (absolute(path) if path else None for path in (self.prefix, self.val_data))
        data = absolute(self.data)
        return dataclasses.replace(self, data=data, prefix=prefix, val_data=val, flow_data=flow)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Search(Section):
    """The budget, and who proposes networks inside it."""

    budget: Cost = _of_search(
        "what one clip may cost: 4GFLOPs, 3.8Mparams, 2GiB, 25ms@cuda or several: 4G,25ms",
        value="COST",
    )
    latencies: Annotated[Text, Example("pi5.csv")] | None = _of_search(
        "CSV that a latency kit printed on another device, for a budget such as 25ms@pi5",
        None,
        "FILE",
    )
    family: Annotated[
        str,
        StringConstraints(strict=True, strip_whitespace=True, min_length=1),
        WithJsonSchema(one_of(FAMILIES)),
        Example("x3d"),
    ] = _of_search("network family", "x3d", "FAMILY")
    start: Annotated[Text, Example("x3d-xs")] | None = _of_search(
        "where to expand from: a preset, STUDY:NUMBER for a trial, or an exported network.json; "
        "the family's base if left out. It takes the network alone; --init takes weights",
        None,
        "NETWORK",
    )
    strategy: Annotated[str, OneOf(STRATEGIES)] = _of_search(
        "who proposes networks: the expansion, or a sampler", EXPAND
    )
    trials: Count = _of_search("networks that a sampler proposes in all", 30)
    batch: Count = _of_search(
        f"networks that a sampler proposes at once; {GENERATION} if left out where they race", 1
    )
    training_limit: TrainingLimit | None = _of_search(
        "propose no more once a sampler's trainings have taken this many multiply-adds, such as "
        "2.5TMACs (the plan and `report` count them)",
        None,
        "COST",
    )
    schedule: Literal["fit", "paper", "paper-all"] = _of_search(
        "fit: stop within the budget; paper: overshoot, then contract the last axis; "
        "paper-all: every axis",
        "fit",
    )
    beam: Count = _of_search("networks of a step of the expansion that the next one expands", 1)
    growth: Literal["single", "compound", "both"] = _of_search(
        "what a step of the expansion grows: single axes, all at once (compound), or both",
        "single",
    )
    ratio: Ratio = _of_search("cost of a step over the step before", 2.0)
    first_clip: Clip = _of_search(
        "frames and stride when time is first expanded", (2, 14), "FRAMESxSTRIDE"
    )
    race: Flag = _of_search(
        "train the networks of a step in rungs, and stop those that are surely worse than the "
        "best; of a sampler's batch the better half by cost and score goes on",
        False,
    )
    more_seeds: Whole = _of_search(
        "further seeds at most, by whose means the best of a race's step are compared where one "
        "seed cannot tell them apart (three networks at most)",
        0,
    )
    rungs: Counts = _of_search(
        "clip visits after which networks are tested on their way, in a race or in a table; in a "
        "race 1/4 and 1/2 of all if left out",
        (),
    )
    draws: Whole = _of_search("random networks at the budget that a table holds too", 0)
    repeated: Whole = _of_search("networks of a table that are trained with all repeats", 0)
    only_first: Count | None = _of_search("trainings that a table ends after", None)
    select: Literal["auto", "top1", "mean_class", "nll"] = _of_search(
        "what decides a step: top-1, mean class accuracy, or log-loss; auto: nll below 1000 "
        "validation clips, top1 from there on",
        "auto",
    )
    expressible_in: Targets = _of_search(
        f"propose only networks that these codebases can build: {', '.join(RESTRICTIONS)}, or "
        "restrictions of your own, separated by commas",
        (),
        "TARGET",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_budget(cls, given: Any) -> Any:
        """A device that is not here may be named where its latencies are brought."""
        values = given.kwargs if isinstance(given, ArgsKwargs) else given
        if not isinstance(values, Mapping) or not values.get("latencies"):
            return given
        budget = values.get("budget")
        if not isinstance(budget, str) or not budget.strip():
            return given
        read = parse_budget(budget.strip(), elsewhere=True)
        return ArgsKwargs((), {**values, "budget": read})

    @model_validator(mode="after")
    def _refuse_targets(self) -> Self:
        for name in self.expressible_in:
            try:
                RESTRICTIONS.row(name)
            except ConfigError as error:
                raise ConfigError(f"expressible_in = {name!r}: {error}") from None
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Training(Section):
    """The trainings of candidates, and the winner's last one."""

    profile: Annotated[str, OneOf(tuple(PROFILES))] = _of_training(
        "how candidates are trained", "quick"
    )
    recipe: RecipeFields = _of_training(
        "fields of the profile that differ; may be given several times: " + ", ".join(FIELDS),
        {},
        "FIELD=VALUE",
    )
    final_recipe: RecipeFields = _of_training(
        "fields of profile final, for the winner's last training, that differ", {}, "FIELD=VALUE"
    )
    seed: Whole = _of_training("seed of splits, weights and augmentation", 0)
    folds: Count = _of_training("folds of cross-validation; 1 is a single split", 1)
    repeats: Count = _of_training("seeds that each candidate is trained with", 1)
    score_test: Flag = _of_training(
        "test the networks of a table on the test part too, which then is no test of them", False
    )
    final: Flag = _of_training("train the winner once more with profile final", True)

    init: Annotated[Text, Example("./x3d-m")] = _of_training(
        "weights that networks begin with: scratch, ./DIR that import or export --to json wrote, "
        "a study for its winner's, or parent for those of the network that each grew from",
        SCRATCH,
        "WEIGHTS",
    )
    confirm: Flag = _of_training(
        "with --init parent: train the two best networks of each step from scratch too, once the "
        "search is done, and say how often that chooses alike",
        False,
    )

    @model_validator(mode="after")
    def _refuse_recipes(self) -> Self:
        for table in TABLES:
            fields = getattr(self, table)
            if fields.get("epochs") and fields.get("clip_visits"):
                raise ConfigError(
                    f"{table}.epochs and {table}.clip_visits exclude each other; set one"
                )
        self.training_recipe(), self.last_recipe()
        return self

    def training_recipe(self) -> Recipe:
        """The recipe of candidates: the profile with this study's fields."""
        return profile_with(self.profile, {**self.implied_fields(), **self.recipe})

    def implied_fields(self) -> Mapping[str, Any]:
        """Fields of the recipe that another key sets, where the study does not name them."""
        return {}

    def last_recipe(self) -> Recipe:
        """The recipe of the winner's last training: profile final with this study's fields.

        Whether clips may be mirrored is a fact of the data, so it holds here as for candidates.
        """
        return profile_with("final", {"flip": self.training_recipe().flip, **self.final_recipe})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Execution(Section):
    """The place and the processes of a study, and its name."""

    name: StudyName | None = _of_running("the study's name; made up if left out", None, "NAME")
    device: AnyDevice = _of_running("auto, cpu, cuda or cuda:N", "auto", "DEVICE")
    threads: Count | None = _of_running(
        "CPU threads of a training; all cores, shared by the workers, if left out", None
    )
    final_threads: Count | None = _of_running(
        "CPU threads of the winner's last training; on a CPU those of all workers on this machine "
        "together if left out",
        None,
    )
    executor: Annotated[str, OneOf(EXECUTORS)] = _of_running(
        "who trains candidates: here, processes on this machine, or ray", "here"
    )
    workers: Count | None = _of_running(
        "networks trained at the same time by processes or ray; one per device if left out", None
    )
    devices: Devices = _of_running(
        "devices that go round among the workers, such as cuda:0,cuda:1", (), "DEVICE"
    )
    address: Address | None = _of_running(
        "HOST:PORT of a Ray cluster, or auto for the one that this machine is in; one is started "
        "here if left out",
        None,
        "HOST:PORT",
    )
    time_limit: Time | None = _of_running(
        "end cleanly after this time in all, resumed parts included, such as 2h", None, "TIME"
    )
    candidate_timeout: Time | None = _of_running(
        "give up on a candidate after this time", None, "TIME"
    )
    storage: Url | None = _of_running(
        "URL of an Optuna storage for the record; NAME/study.db if left out", None, "URL"
    )
    root: Annotated[Text, Example("studies")] = _of_running(
        "folder where studies live", DEFAULT_ROOT, "DIR"
    )

    @property
    def at_a_time(self) -> int:
        """Networks that are trained at the same time."""
        return self.workers or max(1, len(self.devices))


def is_path(text: str) -> bool:
    """True where a text that may name a study names a file or a folder."""
    return "/" in text or text.endswith(".json")
