"""The facts that a prepared run stands on, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from expand3d.core.process import cores
from expand3d.core.units import in_bytes
from expand3d.data.cache import CachedStore, CacheSpec, estimate_bytes, kept
from expand3d.data.planned import PlannedStore
from expand3d.run.by_class import spread, too_few
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared
from expand3d.search.expansion.race import SEEDS
from expand3d.search.expansion.seeds import CLOSE
from expand3d.search.statistics import NAMES, resolvable_difference
from expand3d.study.config import StudyConfig
from expand3d.study.strategy_keys import SAMPLERS

#: The words about trainings that begin on smaller clips.
SMALLER = {
    "off": "",
    "long": ", smaller clips of fewer frames first",
    "sides": ", smaller clips first",
}


def facts(ready: Prepared) -> tuple[tuple[str, str], ...]:
    """The facts that the run stands on, as pairs of a title and a line."""
    return (
        ("budget", _budget(ready)),
        ("data", _data(ready)),
        ("limits", f"{ready.strategy.limits_text()} (the data's median short side and length)"),
        ("training", _training(ready)),
        ("choosing", _choosing(ready)),
    )


def advice(ready: Prepared) -> Iterator[str]:
    """Lines that the user should know before the run begins."""
    config, bench = ready.config, ready.bench
    yield from ready.clips.parts.notes
    if few := too_few(ready.store, ready.clips.parts, folds=config.folds):
        yield few
    if config.side_by_side < config.at_a_time:
        yield (
            f"batch = {config.batch} networks are proposed at once, so that no more of the "
            f"{config.at_a_time} workers are busy; a larger --batch proposes other networks"
        )
    if bench.device == "cpu" and bench.threads > 1 and config.executor == "here":
        workers = min(bench.threads, cores())
        yield (
            f"one training at a time on {bench.threads} threads: --executor processes --workers "
            f"{workers} trains as many side by side, which uses the cores better"
        )


def told(ready: Prepared, watch: Watch) -> Prepared:
    """The same, after `watch` was told the advice."""
    for line in advice(ready):
        watch.note(line)
    return ready


def _budget(ready: Prepared) -> str:
    """The quantity that is counted; for a latency also the machine, and the first one measured."""
    price, convention = ready.strategy.price, ready.budget.convention
    if price.clock is None:
        return convention
    first = price.known(ready.strategy.base().plan)
    assert first is not None, "find_space() has measured it"
    return (
        f"{convention}; on {first.hardware} ({first.device}, {first.threads} threads, "
        f"{first.setting}), where the first network takes {first.text}"
    )


def _data(ready: Prepared) -> str:
    config, store, parts = ready.config, ready.store, ready.clips.parts
    pool = len(parts.train) + len(parts.val)
    choosing = (
        f"{pool} take turns in {config.folds} folds"
        if config.folds > 1
        else f"{len(parts.train)} train, {len(parts.val)} choose"
    )
    return (
        f"{config.data}: {len(store)} clips, {len(store.class_names)} classes; {choosing}, "
        f"{len(parts.test)} test; {spread(store, parts.train)}; "
        f"{in_bytes(store.cached_bytes)} decoded{_sizes(ready)}{_to_decode(store)}"
    )


def _to_decode(store: CachedStore) -> str:
    """The clips that a planned run would decode first, and those that are never kept decoded."""
    if not isinstance(store, PlannedStore):
        return _from_videos(store.on_the_fly)
    ahead, text = store.ahead, ""
    if ahead.clips:
        time = f", ~ {ahead.seconds:.0f} s" if ahead.seconds else ""
        text = f"; {ahead.clips} are not decoded yet ({in_bytes(ahead.bytes)}{time})"
    return text + _from_videos(ahead.beyond)


def _from_videos(clips: int) -> str:
    return f"; {clips:,} are read from their videos (beyond --cache-cap)" if clips else ""


def _sizes(ready: Prepared) -> str:
    """The form of the decoded clips, and what others take if a network needs them."""
    sizes, store = ready.clips.sizes, ready.store
    if sizes.fixed is not None:
        return ""
    side, fps = store.spec.short_side, store.spec.fps
    infos = [ready.report.infos[key] for key in store.keys if key in ready.report.infos]
    sides = sizes.ahead(side, ready.space.crop, ready.bench.recipe)
    if store.every > 1:
        sides = (side, *sides)
    more = ", ".join(
        f"{in_bytes(estimate_bytes(infos, CacheSpec(fps, other)))} at {other}" for other in sides
    )
    sparse = [every for every in sizes.choices if every > 1]
    frames = f", {kept(store.spec)}" if sparse else ""
    if more and sparse:
        parts = " or ".join(f"1/{every}" for every in sparse)
        more = f"all frames {more}, or {parts} of it,"
    return f" at {side} pixels{frames}" + (f" ({more} when a network reads it)" if more else "")


def _training(ready: Prepared) -> str:
    config, bench, last = ready.config, ready.bench, ready.final.threads
    recipe = bench.recipe
    visits = recipe.steps_for(len(bench.jobs[0].train)) * recipe.batch
    return (
        f"profile {recipe.profile}: {visits:,} clip visits"
        f"{f' x {len(bench.jobs)} trainings' if len(bench.jobs) > 1 else ''} a candidate, "
        f"batch {recipe.batch}{SMALLER[recipe.multigrid]}; "
        f"{bench.device}, {bench.threads} threads"
        f"{f', the last training {last}' if config.final and last != bench.threads else ''}"
        f"{_rungs(config)}"
    )


def _rungs(config: StudyConfig) -> str:
    """The words about a race in the plan, whose times are those of whole trainings."""
    rungs = ", ".join(f"{rung:,}" for rung in config.race_rungs())
    if not rungs:
        return ""
    if config.strategy in SAMPLERS:
        return (
            f"; a race: of each batch of {config.batch} the better half by cost and score goes on "
            f"after {rungs} visits. The rows below are of whole trainings"
        )
    more = SEEDS - config.repeats
    left = [f"{more} further seeds of the base"] if more > 0 else []
    if config.more_seeds:
        left.append(f"at most {CLOSE} x {config.more_seeds} of close networks in each step")
    seeds = f", {' and '.join(left)} left out" if left else ""
    return (
        f"; a race: what is surely worse ends after {rungs} visits. The rows below are of whole "
        f"trainings{seeds}"
    )


def _choosing(ready: Prepared) -> str:
    store, parts = ready.store, ready.clips.parts
    grouped = {store.groups[i] for job in ready.bench.jobs for i in job.held_out} - {None}
    resolution = resolvable_difference(
        ready.benches.scored,
        groups=len(grouped) or None,
        pool=len(parts.train) + len(parts.val) if ready.config.folds == 1 else None,
    )
    held_out = Counter(store.labels[i] for job in ready.bench.jobs for i in job.held_out)
    guess = max(held_out.values()) / held_out.total()
    return (
        f"by {NAMES[ready.strategy.metric]} (chance is {guess:.1%} of top-1, always saying the "
        f"largest class): {resolution.text}"
    )
