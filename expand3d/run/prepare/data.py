"""The second stage of preparing: the videos and their facts, then their clips and parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low
from typing import Any

from expand3d.core.errors import DataError, StudyError
from expand3d.core.genotype import Plan
from expand3d.data.cache import FIRST_BAD, CachedStore, CacheSpec, build_store, content_hashes
from expand3d.data.check import CheckReport, check, sampled
from expand3d.data.contents import Contents
from expand3d.data.flow.precomputed import FlowFiles
from expand3d.data.flow.store import FlowSpec, FlowStore
from expand3d.data.layouts.folders import printable
from expand3d.data.manifest import Manifest, load_manifest
from expand3d.data.mirrored import mirror_note
from expand3d.data.moved import KEPT_DIGITS, Kept, under_kept_names
from expand3d.data.planned import planned_store
from expand3d.data.same import grouped_by_name, tell_same
from expand3d.data.source import cache_root, flow_root, place_of, resolve_source
from expand3d.data.splits import RULE, Splits, make_splits
from expand3d.run.events import Watch
from expand3d.run.prepare.sizes import Form, Sizes
from expand3d.study.config import NamedConfig
from expand3d.study.sections import Data

#: Shares of all clips where neither the data nor the user says otherwise.
VAL, TEST = 0.2, 0.2
#: Videos above which a plan reads the headers of a part of them, and the size of that part.
SAMPLED_ABOVE, SAMPLED = 5000, 1000


@dataclass(frozen=True)
class Videos:
    """The labelled videos, and what their headers say; `contents` where only the cache is here."""

    manifest: Manifest
    report: CheckReport
    contents: Contents | None = None


@dataclass(frozen=True)
class Clips:
    """The decoded clips, and the parts that train, choose and are only tested.

    `store` has them in the form that the first network reads, `sizes` says which others read.
    `flow` is that of another tool, None where it is computed.
    """

    store: CachedStore
    parts: Splits
    sizes: Sizes
    flow: FlowFiles | None = None

    def identity(self) -> dict[str, Any]:
        """The data's content by clip, and what was skipped; the record notices changes by it."""
        store = self.store
        return {
            "fingerprint": store.fingerprint,
            "classes": list(store.class_names),
            "clips": dict(zip(store.keys, (sha[:KEPT_DIGITS] for sha in store.shas), strict=True)),
            "skipped": {bad.key: bad.reason for bad in store.bad},
            **self.sizes.identity(),
            **({"flow": self.flow.identity} if self.flow else {}),
        }


@dataclass(frozen=True)
class Planning:
    """A preparation that decodes next to nothing and writes nothing.

    `every_hash` reads all videos, where their content is compared with a record's.
    """

    every_hash: bool = False


def find_videos(
    config: Data, watch: Watch, began: Mapping[str, Any] | None = None, *, write: bool = True
) -> Videos:
    """The videos that the configuration names; nothing is decoded yet.

    Those of a study that `began` with the same content under other names have its names. Hashes
    are kept in the cache where it may `write`.
    """
    try:
        listed = _listed(config, watch)
    except DataError as error:
        if began is None or place_of(config.data).exists():
            raise
        raise DataError(f"{error}; where the videos moved, name them: --data PATH") from None
    manifest = None if began is None else _with_names_of(began, listed, config, watch, write=write)
    manifest = manifest or _grouped(config, listed)
    _refuse_one_class(manifest)
    if not write and began is None and _is_large(manifest):
        watch.note(
            f"{manifest.source}: all {len(manifest):,} videos are looked for, the headers of "
            f"{SAMPLED:,} are read; the plan takes the others to be like them"
        )
        return Videos(manifest, sampled(manifest, fps=config.fps, count=SAMPLED))
    return Videos(manifest, check(manifest, fps=config.fps, deep=False))


def _is_large(manifest: Manifest) -> bool:
    return len(manifest) > SAMPLED_ABOVE


def _refuse_one_class(manifest: Manifest) -> None:
    """DataError where the clips that may train, or all of them, are of one class."""
    for videos, which in (
        (manifest.videos, ""),
        ([v for v in manifest.videos if v.split in (None, "train")], " in the training part"),
    ):
        labels = {video.label for video in videos}
        if len(labels) == 1:
            raise DataError(
                f"{manifest.source}: only one class{which}, {manifest.class_names[labels.pop()]}; "
                "at least two are needed"
            )


def _with_names_of(
    began: Mapping[str, Any], manifest: Manifest, config: Data, watch: Watch, *, write: bool
) -> Manifest | None:
    """The manifest as the study knows it, where only names differ from what it `began` with."""
    kept = Kept(
        began["clips"],
        tuple(began["classes"]),
        began["fingerprint"],
        frozenset(began.get("skipped", ())),
    )
    shas = content_hashes(manifest, cache_root(), keep=write)
    if kept.unchanged(manifest, shas):
        return None
    found = under_kept_names(manifest, shas, kept, group_by_name=config.group_by_name)
    if found is None:
        return None
    now = {video.path: video.key for video in manifest.videos}
    pairs = [(video.key, now[video.path]) for video in found.videos[: len(kept.clips)]]
    other = [f"{printable(name)} is now {printable(key)}" for name, key in pairs if name != key]
    classes = sorted(set(kept.classes) - set(manifest.class_names))
    other = other or [f"class {name} has another name" for name in classes]
    others = f": {other[0]}" if other else ": their order"
    more = f" and {len(other) - 1} more" if len(other) > 1 else ""
    watch.note(f"same content, other names{others}{more}; the study goes on under its own")
    return found


def unmirrored(config: NamedConfig, videos: Videos, watch: Watch) -> NamedConfig:
    """The configuration that mirrors no clip where a mirror exchanges classes."""
    note = mirror_note(videos.manifest.class_names)
    if not note or not (config.training_recipe().flip or config.last_recipe().flip):
        return config
    watch.note(f"flip = true is not taken: {note}")
    last = config.final_recipe
    return replace(
        config,
        recipe={**config.recipe, "flip": False},
        final_recipe={**last, "flip": False} if "flip" in last else last,
    )


def known_videos(config: Data, contents: Contents) -> Videos:
    """The videos of a record, which need not be on this machine."""
    return Videos(contents.manifest, contents.report(fps=config.fps), contents)


def manifest_of(config: Data, watch: Watch) -> Manifest:
    """The list of the videos that the configuration names."""
    return _grouped(config, _listed(config, watch))


def _listed(config: Data, watch: Watch) -> Manifest:
    prefix = Path(config.prefix) if config.prefix else None
    source = resolve_source(config.data, say=watch.note)
    manifest = load_manifest(source, prefix=prefix, val=config.val_data)
    if manifest.said:
        watch.note(f"{place_of(config.data)}: {manifest.said}")
    return manifest


def _grouped(config: Data, manifest: Manifest) -> Manifest:
    return grouped_by_name(manifest) if config.group_by_name else manifest


def cut_clips(
    config: Data,
    videos: Videos,
    *,
    sizes: Sizes,
    form: Form,
    seed: int,
    watch: Watch,
    rule: int = RULE,
    plan: Planning | None = None,
) -> Clips:
    """The clips of the videos in one form, from the cache or decoded.

    `rule` says how the parts are drawn. For a `plan` only a few are decoded.
    """
    if plan is None:
        store = sized_store(config, videos, sizes=sizes, form=form, watch=watch)
    else:
        store = _planned_store(config, videos, form=form, plan=plan, watch=watch)
    _refuse_one_class(store.manifest)  # videos that cannot be read are left out by now
    if sizes.fixed is None:  # a machine without the videos knows only those that are used
        largest, frames = measures(videos, store.keys, config.fps)
        sizes = replace(sizes, largest=largest, frames=frames)
    flow = None
    if config.flow_data is not None:
        flow = FlowFiles.find(Path(config.flow_data).expanduser(), store.keys)
    return Clips(store, parts_of(config, store.manifest, seed=seed, rule=rule), sizes, flow)


def sized_store(
    config: Data, videos: Videos, *, sizes: Sizes, form: Form, watch: Watch
) -> CachedStore:
    """The clips in one of a study's forms, from the cache or decoded under its cap."""
    if videos.contents:
        return videos.contents.store(CacheSpec(config.fps, *form), cache_root(), watch.decoding)
    others = sizes.others(form)
    return clip_store(config, videos.manifest, form=form, watch=watch, others=others)


def _planned_store(
    config: Data, videos: Videos, *, form: Form, plan: Planning, watch: Watch
) -> CachedStore:
    spec = CacheSpec(config.fps, *form)
    if videos.contents:
        return videos.contents.planned(spec, cache_root())
    store = planned_store(
        videos.manifest,
        spec,
        cache_root(),
        infos=videos.report.infos,
        unopened=videos.report.bad,
        on_bad="skip" if config.skip_bad else "stop",
        cap_bytes=config.cache_cap.bytes,
        hashed="all" if plan.every_hash else "" if _is_large(videos.manifest) else "alike",
    )
    return _told_skipped(config, store, watch)


def measures(videos: Videos, keys: Iterable[str], fps: float) -> tuple[int, int]:
    """The largest short side in pixels and the median frames of some videos, by their headers."""
    infos = [videos.report.infos[key] for key in keys if key in videos.report.infos]
    if not infos:
        return 0, 1
    return max(i.short_side for i in infos), median_low(i.frames_at(fps) for i in infos)


def clip_store(
    config: Data,
    manifest: Manifest,
    *,
    form: Form,
    watch: Watch,
    others: Iterable[Form] = (),
) -> CachedStore:
    """The decoded clips in a form, smaller where the videos are.

    What is decoded in the `others` counts under the cap, too. DataError where a video cannot be
    read, unless the configuration says to go on without it.
    """
    spec = CacheSpec(config.fps, *form)
    store = build_store(
        manifest,
        spec,
        cache_root(),
        cap_bytes=config.cache_cap.bytes,
        beside=[CacheSpec(config.fps, *other) for other in others],
        on_bad="skip" if config.skip_bad else "stop",
        on_same="pass",
        say=watch.note,
        progress=watch.decoding,
    )
    return _told_skipped(config, store, watch)


def _told_skipped(config: Data, store: CachedStore, watch: Watch) -> CachedStore:
    for bad in store.bad[:FIRST_BAD]:
        watch.note(f"skipped {printable(bad.key)}: {bad.reason}")
    if len(store.bad) > FIRST_BAD:
        more = len(store.bad) - FIRST_BAD
        watch.note(f"skipped {more} more; `expand3d data check {config.data}` lists them all")
    return store


def with_flow(
    store: CachedStore,
    plan: Plan,
    spec: FlowSpec,
    *,
    of: CachedStore,
    files: FlowFiles | None,
    workers: int,
    watch: Watch,
) -> FlowStore:
    """The clips with the optical flow that a network reads, in the cache by now.

    It is computed from `of`, or read from `files`.
    """
    found = FlowStore(store, spec, flow_root(), of, files)
    found.fill(plan.sources, workers=workers, progress=watch.flow)
    return found


def tell_films(
    config: Data, store: CachedStore, sides: Mapping[int, str], watch: Watch, *, refuse: bool
) -> None:
    """Note films that stand more than once, and groups that names carry and nothing uses.

    With `refuse`, DataError where a film stands on two of the `sides` (names by clip) or under two
    labels, unless the configuration allows it.
    """
    tell_same(
        store.manifest,
        store.shas,
        parts=sides,
        say=watch.note,
        stop=refuse and not config.allow_same,
        ways=" (keep one of each, or go on with all of them by --allow-same)",
    )


def parts_of(config: Data, manifest: Manifest, *, seed: int, rule: int = RULE) -> Splits:
    """The parts that train, choose and are only tested, as the data or the configuration says."""
    return make_splits(
        manifest,
        seed=seed,
        val=VAL if config.val is None else config.val,
        test=TEST if config.test is None else config.test,
        val_groups=config.val_groups,
        test_groups=config.test_groups,
        rule=rule,
    )


def refuse_changed_data(kept: Mapping[str, Any], clips: Clips, *, study: str) -> None:
    """StudyError naming what changed where the data is not what the study began with."""
    now = clips.identity()
    if now["fingerprint"] == kept["fingerprint"]:
        if now.get("flow") != kept.get("flow"):
            raise StudyError(
                f"the flow in flow_data is not that which study {study!r} began with; start a new "
                "study with it"
            )
        return
    before, after = kept["clips"], now["clips"]
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    for keys, what in (
        (sorted(changed), "changed"),
        (sorted(_without_copy(before, after)), "missing"),
        (sorted(_without_copy(after, before)), "new"),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            what_changed = f"{keys[0]} is {what}{more}"
            break
    else:
        what_changed = "labels, groups, splits or their order differ"
    raise StudyError(
        f"the data of study {study!r} is not what it began with: {what_changed}; "
        "restore it, or start a new study"
    )


def _without_copy(some: Mapping[str, str], others: Mapping[str, str]) -> set[str]:
    """The names among `some` hashes whose content stands among the others under no name."""
    copies = Counter(others.values()) - Counter(
        others[key] for key in some.keys() & others.keys() if some[key] == others[key]
    )
    found = set()
    for key in some.keys() - others.keys():
        if copies[some[key]]:
            copies[some[key]] -= 1
        else:
            found.add(key)
    return found
