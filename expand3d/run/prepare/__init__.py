"""From a study's configuration to what its candidates are trained on, in four stages.

Each stage is a module of functions from frozen values to a frozen value: `goal` (budget, family,
start), `data` (videos, clips, parts), `space` (limits, strategy), `bench` (recipes, jobs, device).
Clips are cut at the size that the first network reads, and a strategy counts the clips that decide;
so `data` and `space` have two steps each. `sizes` says which clips larger networks read.
`run/facts.py` says in words what came out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.core.budget import Budget
from expand3d.core.genotype import Genotype
from expand3d.core.measured import Latency
from expand3d.core.trial import PARENT
from expand3d.cost.price import Known, nothing
from expand3d.data.cache import CachedStore
from expand3d.data.check import CheckReport
from expand3d.data.contents import Contents
from expand3d.data.splits import RULE
from expand3d.execute.evaluate import Bench
from expand3d.run.events import Watch
from expand3d.run.initial import find_initial, refuse_unfit, refuse_unfollowed, unknown_clips
from expand3d.run.prepare.bench import Benches, set_up, settle
from expand3d.run.prepare.data import (
    Clips,
    Planning,
    Videos,
    cut_clips,
    find_videos,
    known_videos,
    measures,
    tell_films,
    unmirrored,
)
from expand3d.run.prepare.goal import Goal, find_goal
from expand3d.run.prepare.sizes import sizes_of
from expand3d.run.prepare.space import Space, choose_strategy, find_space
from expand3d.run.start import weights_left
from expand3d.search.strategy import Strategy
from expand3d.study.config import NamedConfig


@dataclass(frozen=True)
class Prepared:
    """Everything of a run that does not change while it runs: what the stages gave.

    The configuration's device and threads are settled.
    """

    config: NamedConfig
    goal: Goal
    videos: Videos
    space: Space
    clips: Clips
    benches: Benches
    strategy: Strategy

    @property
    def budget(self) -> Budget:
        return self.goal.budget

    @property
    def report(self) -> CheckReport:
        """The facts of the videos."""
        return self.videos.report

    @property
    def store(self) -> CachedStore:
        return self.clips.store

    @property
    def bench(self) -> Bench:
        """The bench that trains candidates."""
        return self.benches.search

    @property
    def final(self) -> Bench:
        """The bench that trains the winner once more."""
        return self.benches.last

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """The latencies by digest that were measured before there was a record."""
        return self.space.latencies


def prepare(
    config: NamedConfig,
    watch: Watch,
    *,
    known: Known = nothing,
    start: Genotype | None = None,
    began: Mapping[str, Any] | None = None,
    contents: Contents | None = None,
    plan: bool = False,
) -> Prepared:
    """Read, split and decode the data, choose the device and set up the strategy.

    What is wrong with budget, family or list is said before anything is decoded. `known` gives
    the latencies that the study's record has, `start` the network that it began with, and `began`
    what it says of its data; a study without is new. With `contents` nothing is read but the cache.
    For a `plan` only a few videos are decoded, and nothing is written.
    """
    goal = find_goal(config, start)
    if start is None and config.start:  # a study that begins
        left = weights_left(config.start, config.init, root=config.root, storage=config.storage)
        if left:
            watch.note(left)
    initial = (
        None
        if config.init == PARENT
        else find_initial(config.init, root=config.root, storage=config.storage)
    )
    videos = (
        known_videos(config, contents)
        if contents
        else find_videos(config, watch, began, write=not plan)
    )
    config = settle(config if began else unmirrored(config, videos, watch))
    space = find_space(config, goal, videos, known=known, watch=watch)
    recipe, infos = config.training_recipe(), videos.report.infos
    largest, frames = measures(videos, infos, config.fps)
    sizes = sizes_of(began, largest=largest, frames=frames, crop=space.crop, recipe=recipe)
    form = sizes.base_form(goal.base(len(videos.manifest.class_names)), recipe)
    rule = RULE if began is None else began.get("split_rule", 1)
    planning = Planning(every_hash=began is not None or initial is not None) if plan else None
    clips = cut_clips(
        config,
        videos,
        sizes=sizes,
        form=form,
        seed=config.seed,
        watch=watch,
        rule=rule,
        plan=planning,
    )
    if config.init == PARENT:
        refuse_unfollowed(goal.base(len(clips.store.class_names)))
    benches = set_up(config, clips, initial)
    tell_films(config, clips.store, benches.sides(), watch, refuse=began is None)
    if initial is not None:
        base = goal.base(len(clips.store.class_names))
        jobs = (*benches.search.jobs, *benches.last.jobs)
        refuse_unfit(initial, base, jobs=jobs, clips=[sha[:16] for sha in clips.store.shas])
        if note := unknown_clips(initial):
            watch.note(note)
    strategy = choose_strategy(config, goal, space, clips, benches)
    return Prepared(config, goal, videos, space, clips, benches, strategy)
