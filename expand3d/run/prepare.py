"""From a study's configuration to what its candidates are trained on: data, device, strategy."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expand3d.core.errors import ConfigError, StudyError
from expand3d.core.genotype import Genotype, digest
from expand3d.core.measured import Latency
from expand3d.core.recipe import Recipe
from expand3d.core.result import TRAINING_FACTOR
from expand3d.core.units import parse_duration, parse_size
from expand3d.cost.budget import Budget, parse_budget, parse_training_limit
from expand3d.cost.price import Known, nothing
from expand3d.data.cache import CachedStore, CacheSpec, build_store, in_bytes
from expand3d.data.check import CheckReport, check
from expand3d.data.contents import Contents
from expand3d.data.manifest import Manifest, load_manifest
from expand3d.data.source import cache_root, resolve_source
from expand3d.data.splits import RULE, Splits, folds, make_splits
from expand3d.execute.evaluate import Bench, make_jobs
from expand3d.networks import get_family
from expand3d.networks.family import Family, Limits
from expand3d.run.budget import held_to, largest_crop, means, overshooting, refuse_small
from expand3d.run.events import Watch
from expand3d.run.start import find_start
from expand3d.search.statistics import default_metric, resolvable_difference
from expand3d.search.strategies import configured
from expand3d.search.strategy import Given, Strategy
from expand3d.study.config import StudyConfig

CROP_GRID = 8
#: Short sides of cached clips, in pixels.
CACHE_GRID = 64
#: Shares of all clips where neither the data nor the user says otherwise.
VAL, TEST = 0.2, 0.2


@dataclass(frozen=True)
class Prepared:
    """Everything of a run that does not change while it runs.

    `bench` trains candidates, `final` the winner. `report` holds the facts of the videos, `lines`
    say in words what the run stands on, `latencies` what was measured before there was a record.
    """

    config: StudyConfig
    budget: Budget
    strategy: Strategy
    bench: Bench
    final: Bench
    store: CachedStore
    report: CheckReport
    lines: tuple[tuple[str, str], ...]
    latencies: Mapping[str, Latency] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """The data's content by clip, and what was skipped; the record notices changes by it."""
        return {
            "fingerprint": self.store.fingerprint,
            "classes": list(self.store.class_names),
            "clips": dict(zip(self.store.keys, (sha[:16] for sha in self.store.shas), strict=True)),
            "skipped": {bad.key: bad.reason for bad in self.store.bad},
            "short_side": self.store.spec.short_side,
        }


def prepare(
    config: StudyConfig,
    watch: Watch,
    *,
    known: Known = nothing,
    start: Genotype | None = None,
    short_side: int | None = None,
    contents: Contents | None = None,
    rule: int = RULE,
) -> Prepared:
    """Read, split and decode the data, choose the device and set up the strategy.

    What is wrong with budget, family or list is said before anything is decoded. `known` gives
    the latencies that the study's record has, `start` and `short_side` the network that it began
    with, the size in pixels of its clips, and `rule` how its parts were drawn. With `contents`
    nothing is read but the cache.
    """
    assert config.name is not None
    budget = parse_budget(config.budget)
    family, start = _family_and_start(config, start)
    # One class is the cheapest head: what is refused here no data could save, so none is made.
    refuse_small(budget, family.resolve(start, num_classes=1))
    prefix = Path(config.prefix) if config.prefix else None
    manifest = (
        contents.manifest
        if contents
        else load_manifest(resolve_source(config.data, say=watch.note), prefix=prefix)
    )
    base = family.resolve(start, num_classes=len(manifest.class_names))
    refuse_small(budget, base)
    device, threads = device_for(config.device), _threads(config)
    last = last_threads(config, device=device, threads=threads)
    config = dataclasses.replace(config, device=device, threads=threads, final_threads=last)
    afforded = means(budget, base, device=device, threads=threads, known=known, watch=watch)
    price = afforded.price
    recipe = config.training_recipe()
    report = (
        contents.report(fps=config.fps) if contents else check(manifest, fps=config.fps, deep=False)
    )
    limits = _limits(report, family, start, config)
    reach = budget if config.schedule == "fit" else overshooting(budget, config.ratio)
    crop = largest_crop(family, start, base, limits, reach, price)
    limits = held_to(limits, crop, price)
    side = short_side or cached_side(crop, recipe)
    store = (
        contents.store(CacheSpec(fps=config.fps, short_side=side), cache_root())
        if contents
        else clip_store(config, manifest, short_side=side, watch=watch)
    )
    parts = parts_of(config, store.manifest, rule=rule)
    for note in parts.notes:
        watch.note(note)
    if config.side_by_side < config.at_a_time:
        watch.note(
            f"batch = {config.batch} networks are proposed at once, so that no more of the "
            f"{config.at_a_time} workers are busy; a larger --batch proposes other networks"
        )
    if device == "cpu" and threads > 1 and config.executor == "here":
        watch.note(
            f"one training at a time on {threads} threads: --executor processes --workers {threads}"
            " trains as many side by side, which uses the cores better"
        )
    bench = _bench(config, store, parts, recipe)
    scored = sum(len(job.held_out) for job in bench.jobs) // config.repeats
    strategy = configured(
        Given(
            config,
            budget=budget.first.amount,
            limits=limits,
            start=start,
            num_classes=len(store.class_names),
            metric=default_metric(scored) if config.select == "auto" else config.select,  # type: ignore[arg-type]
            spend=_spend(config, bench),
            price=price,
        )
    )
    return Prepared(
        config=config,
        budget=budget,
        strategy=strategy,
        bench=bench,
        final=_final_bench(bench, parts, config),
        store=store,
        report=report,
        lines=_lines(config, budget, strategy, bench, store, parts, scored),
        latencies=afforded.latencies,
    )


def _spend(config: StudyConfig, bench: Bench) -> int | None:
    """The training limit as multiply-adds of one clip of all networks together, rounded up."""
    if config.training_limit is None:
        return None
    limit = parse_training_limit(config.training_limit)
    return math.ceil(limit / (TRAINING_FACTOR * bench.visits))


def refuse_changed_data(kept: Mapping[str, Any], ready: Prepared) -> None:
    """StudyError naming what changed where the data is not what the study began with."""
    now = ready.identity()
    if now["fingerprint"] == kept["fingerprint"]:
        return
    before, after = kept["clips"], now["clips"]
    changed = sorted(key for key in before.keys() & after.keys() if before[key] != after[key])
    for keys, what in (
        (changed, "changed"),
        (sorted(before.keys() - after.keys()), "missing"),
        (sorted(after.keys() - before.keys()), "new"),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            what_changed = f"{keys[0]} is {what}{more}"
            break
    else:
        what_changed = "labels, groups, splits or their order differ"
    raise StudyError(
        f"the data of study {ready.config.name!r} is not what it began with: {what_changed}; "
        "restore it, or start a new study"
    )


def _family_and_start(
    config: StudyConfig, start: Genotype | None = None
) -> tuple[Family, Genotype]:
    family = get_family(config.family)
    if start is None and config.start:
        start = find_start(config.start, root=config.root, storage=config.storage)
    start = start or family.base
    if start.family != family.name:
        raise ConfigError(
            f"start = {config.start!r} belongs to family {start.family!r}, not {family.name!r}"
        )
    return family, start


def _limits(report: CheckReport, family: Family, start: Genotype, config: StudyConfig) -> Limits:
    """The limits of the data: its median short side (on a grid of 8) and its median duration.

    What the start needs is always allowed, enlarged or padded if it must be.
    """
    plan = family.resolve(start)
    side = int(report.short_side or 0) // CROP_GRID * CROP_GRID
    return Limits(
        crop=max(plan.crop, side),
        duration=max(plan.duration, int(report.frames or 0)),
        first_clip=config.first_clip,
    )


def cached_side(crop: int, recipe: Recipe) -> int:
    """Short side in pixels of the clips that trainings at `crop` read.

    On a coarse grid, so that studies of one data set share their clips.
    """
    return math.ceil(recipe.jitter[1] * crop / CACHE_GRID) * CACHE_GRID


def clip_store(
    config: StudyConfig, manifest: Manifest, *, short_side: int, watch: Watch
) -> CachedStore:
    """The decoded clips, their short side `short_side` pixels where the videos have as many.

    DataError where a video cannot be read, unless the configuration says to go on without it.
    """
    spec = CacheSpec(fps=config.fps, short_side=short_side)
    store = build_store(
        manifest,
        spec,
        cache_root(),
        cap_bytes=parse_size(config.cache_cap),
        on_bad="skip" if config.skip_bad else "stop",
        say=watch.note,
        progress=watch.decoding,
    )
    for bad in store.bad:
        watch.note(f"skipped {bad.key}: {bad.reason}")
    return store


def parts_of(config: StudyConfig, manifest: Manifest, *, rule: int = RULE) -> Splits:
    """The parts that train, choose and are only tested, as the data or the configuration says."""
    return make_splits(
        manifest,
        seed=config.seed,
        val=VAL if config.val is None else config.val,
        test=TEST if config.test is None else config.test,
        val_groups=config.val_groups,
        test_groups=config.test_groups,
        rule=rule,
    )


def device_for(wanted: str) -> str:
    """The device that 'auto' stands for here; what was named is taken as named."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _threads(config: StudyConfig) -> int:
    """CPU threads of one training: what was said, or all cores shared among the workers."""
    return config.threads or max(1, len(os.sched_getaffinity(0)) // config.at_a_time)


def last_threads(config: StudyConfig, *, device: str, threads: int) -> int:
    """CPU threads of the winner's last training: what was said, or the workers' `threads` together.

    The workers are idle by then. Ray reserves the same cores for every training, and a GPU leaves
    the cores little to do, so that there it is the `threads` of every training.
    """
    if config.final_threads is not None:
        return config.final_threads
    if config.executor == "ray" or {*(config.devices or (device,))} != {"cpu"}:
        return threads
    cores = len(os.sched_getaffinity(0))
    return max(threads, min(threads * config.at_a_time, cores))


def _bench(config: StudyConfig, store: CachedStore, parts: Splits, recipe: Recipe) -> Bench:
    held_out = (
        folds(
            sorted((*parts.train, *parts.val)),
            store.labels,
            store.groups,
            k=config.folds,
            seed=config.seed,
        )
        if config.folds > 1
        else ()
    )
    return Bench(
        store=store,
        recipe=recipe,
        jobs=make_jobs(
            train=parts.train,
            val=parts.val,
            folds=held_out,
            repeats=config.repeats,
            seed=config.seed,
        ),
        device=config.device,
        threads=config.threads or 1,
        fingerprint=store.fingerprint,
        timeout=parse_duration(config.candidate_timeout) if config.candidate_timeout else None,
    )


def _final_bench(bench: Bench, parts: Splits, config: StudyConfig) -> Bench:
    """Everything but the test part trains, the test part scores; the seed is a fresh one."""
    (job,) = make_jobs(
        train=sorted((*parts.train, *parts.val)),
        val=parts.test,
        folds=(),
        repeats=1,
        seed=int(digest(config.seed, "final")[:8], 16),
    )
    return dataclasses.replace(
        bench,
        recipe=config.last_recipe(),
        jobs=(job,),
        timeout=None,
        threads=config.final_threads or bench.threads,
    )


def _budget_text(budget: Budget, strategy: Strategy) -> str:
    """What is counted; for a latency also on what, and how long the first network takes."""
    price = strategy.price
    if price.clock is None:
        return budget.convention
    first = price.known(strategy.base().plan)
    assert first is not None, "means() has measured it"
    return (
        f"{budget.convention}; on {first.hardware} ({first.device}, {first.threads} threads, "
        f"{first.setting}), where the first network takes {first.text}"
    )


def _lines(
    config: StudyConfig,
    budget: Budget,
    strategy: Strategy,
    bench: Bench,
    store: CachedStore,
    parts: Splits,
    scored: int,
) -> tuple[tuple[str, str], ...]:
    """The facts that the run stands on, for people."""
    recipe = bench.recipe
    grouped = {store.groups[i] for job in bench.jobs for i in job.held_out} - {None}
    resolution = resolvable_difference(
        scored,
        groups=len(grouped) or None,
        pool=len(parts.train) + len(parts.val) if config.folds == 1 else None,
    )
    visits = recipe.steps_for(len(bench.jobs[0].train)) * recipe.batch
    last = config.final_threads or bench.threads
    pool = len(parts.train) + len(parts.val)
    choosing = (
        f"{pool} take turns in {config.folds} folds"
        if config.folds > 1
        else f"{len(parts.train)} train, {len(parts.val)} choose"
    )
    data = (
        f"{config.data}: {len(store)} clips, {len(store.class_names)} classes; {choosing}, "
        f"{len(parts.test)} test; {in_bytes(store.cached_bytes)} decoded"
    )
    return (
        ("budget", _budget_text(budget, strategy)),
        ("data", data),
        ("limits", f"{strategy.limits_text()} (the data's median short side and length)"),
        (
            "training",
            f"profile {recipe.profile}: {visits:,} clip visits"
            f"{f' x {len(bench.jobs)} trainings' if len(bench.jobs) > 1 else ''} a candidate, "
            f"batch {recipe.batch}; {bench.device}, {bench.threads} threads"
            f"{f', the last training {last}' if config.final and last != bench.threads else ''}",
        ),
        ("choosing", f"by {strategy.metric}: {resolution.text}"),
    )
