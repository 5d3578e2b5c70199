"""A network of several streams, or of segments, on the clips of its study: each stream and all.

Such networks read optical flow or pictures of a whole video, so that they are tested on the cached
clips, by views uniform in time. With cross-validation every clip is scored by the network that was
trained without it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.recipe import get_profile
from expand3d.core.result import Interrupted
from expand3d.data.crops import test_crop
from expand3d.execute.evaluate import Bench
from expand3d.networks import get_family
from expand3d.networks.clip_words import SEGMENTS
from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.inherit import weights_of_trials
from expand3d.run.model import load_trained
from expand3d.run.prepare.bench import device_for, threads_for
from expand3d.run.runner import prepared_again
from expand3d.search.statistics import MIN_UNITS, RESAMPLES
from expand3d.study.record import Record
from expand3d.study.sections import Execution

#: The row of the SVM among the streams.
SVM = "svm"


@dataclass(frozen=True)
class Wanted:
    """The evaluation that is wanted of a study's network, "STUDY" or "STUDY:NUMBER".

    `part` is "folds", the clips that each fold held out, or "test", by the last training's weights.
    `segments` replaces the number that the network was trained with. `svm` fuses the streams by a
    linear SVM, too, which is fitted on the training clips.
    """

    network: str
    execution: Execution
    root: str
    storage: str | None = None
    part: str = "test"
    clips: int = 10
    crops: int = 1
    segments: int | None = None
    svm: bool = False


@dataclass(frozen=True)
class Row:
    """One stream's top-1, 0 to 1, and the lead of all streams over it, with 95% intervals.

    The intervals are bootstrapped over groups of clips, and None from too few of them.
    """

    name: str
    top1: float
    interval: tuple[float, float] | None
    lead: float
    lead_interval: tuple[float, float] | None


@dataclass(frozen=True)
class EvaluatedStreams:
    """The outcome: for each stream, for all and for the SVM the class that each clip was given.

    `macs` are the multiply-adds of one clip, all its segments and streams, in one view.
    """

    title: str
    plan: Plan
    wanted: Wanted
    keys: tuple[str, ...]
    groups: tuple[str | None, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    predicted: dict[str, NDArray[np.int64]] = field(repr=False)
    macs: int
    networks: int
    seconds: float

    @property
    def views(self) -> int:
        """Views of one clip."""
        return self.wanted.clips * self.wanted.crops

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row per stream, then all together, then the SVM."""
        from expand3d.training.stream_scores import ALL

        names = list(self.predicted)
        right = np.stack([self.predicted[name] == self.labels for name in names]).astype(float)
        means = right.mean(axis=1)
        drawn = _resampled(right, self.groups, self.keys)
        whole = names.index(ALL)
        return tuple(
            Row(
                name,
                float(means[place]),
                _interval(drawn[:, place]) if drawn is not None else None,
                float(means[whole] - means[place]),
                _interval(drawn[:, whole] - drawn[:, place]) if drawn is not None else None,
            )
            for place, name in enumerate(names)
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but single clips."""
        return {
            "network": self.title,
            "digest": self.plan.digest,
            "part": self.wanted.part,
            "clips": len(self.keys),
            "groups": len({group for group in self.groups if group}) or None,
            "networks": self.networks,
            "views": self.views,
            "segments": self.plan.inputs[0].segments,
            "macs": self.macs,
            "macs_all_views": self.macs * self.views,
            "chance": float(np.bincount(self.labels).max() / len(self.labels)),
            "streams": [dataclasses.asdict(row) for row in self.rows],
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class _Fold:
    """Weights, the clips that trained them, and clips that did not."""

    weights: Path
    train: tuple[int, ...]
    held_out: tuple[int, ...]


def evaluate_streams(
    wanted: Wanted,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int, int, float], None] = lambda done, total, accuracy: None,
) -> EvaluatedStreams:
    """The classes that held-out clips are given by each stream; Interrupted once `stop` says so.

    ConfigError where weights were not kept, or where the network has no segments to change. `tell`
    is told clips done, all of them, and the accuracy of all streams so far.
    """
    watch = watch or Watch()
    name, _, number = wanted.network.partition(":")
    record = Record.open(name, root=wanted.root, storage=wanted.storage)
    config = dataclasses.replace(
        record.config(),
        device=wanted.execution.device,
        threads=threads_for(wanted.execution),
    )
    _, ready = prepared_again(record, config, watch)
    if wanted.part == "folds":
        trial = record.trial(_number(number, wanted.network))
        plan, title = trial.candidate.plan, f"{name}, trial {trial.number}"
        bench = ClipsOf(ready, watch).bench(plan)
        folds = _of_jobs(record, trial.number, bench)
    else:
        model = load_trained(wanted.network, root=wanted.root, storage=wanted.storage)
        plan, title = model.plan, model.title
        bench = ClipsOf(ready, watch).bench(plan, ready.final)
        assert model.weights is not None, "a study's network"
        seen = [i for i, sha in enumerate(ready.store.shas) if sha[:16] in model.clips]
        held = [i for i in ready.clips.parts.test if i not in set(seen)]
        if not held:
            raise ConfigError(f"{name} has no test part; score its folds with --part folds")
        folds = [_Fold(model.weights, tuple(seen), tuple(held))]
    if wanted.segments is not None:
        plan = with_segments(plan, wanted.segments)
    return _scored(title, plan, bench, folds, wanted, stop, tell)


def with_segments(plan: Plan, segments: int) -> Plan:
    """The plan of the same weights over another number of segments; ConfigError without any."""
    parted = SEGMENTS in get_family(plan.family).factors
    if not parted or getattr(plan, "consensus", "average") == "weighted":
        raise ConfigError(
            f"{plan.family} cannot be tested with {segments} segments: only networks that look at "
            "the segments of a clip alike, such as tsn, can"
        )
    return dataclasses.replace(plan, frames=segments)


def _number(text: str, network: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{network!r}: folds are of one trial: say which, such as {network}:0")
    return int(text)


def _of_jobs(record: Record, number: int, bench: Bench) -> list[_Fold]:
    kept = weights_of_trials(record)
    found = []
    for job in bench.jobs:
        file = kept.get(number, job.key)
        if file is None:
            raise ConfigError(
                f"{kept.path(number, job.key)}: the weights of trial {number} were not kept; "
                "train with expand3d baselines --keep-weights"
            )
        if job.key.repeat == 0:
            found.append(_Fold(file, job.train, job.held_out))
    return found


def _scored(
    title: str,
    plan: Plan,
    bench: Bench,
    folds: Sequence[_Fold],
    wanted: Wanted,
    stop: Callable[[], bool],
    tell: Callable[[int, int, float], None],
) -> EvaluatedStreams:
    from safetensors.torch import load_file

    from expand3d.training.late_fusion import svm_fusion
    from expand3d.training.placement import place
    from expand3d.training.stream_scores import ALL, stream_probabilities

    recipe = dataclasses.replace(bench.recipe, test_views=wanted.clips, test_crops=wanted.crops)
    family, store = get_family(plan.family), bench.store
    cost = family.cost(plan, crop=test_crop(plan.crop, wanted.crops))
    placement = place(
        get_profile("final"), device=device_for(wanted.execution.device), threads=bench.threads
    )
    started = time.monotonic()
    total, done, right = sum(len(fold.held_out) for fold in folds), 0, 0
    predicted: dict[str, list[NDArray[np.int64]]] = {}
    order = [index for fold in folds for index in fold.held_out]
    labels = np.array([store.labels[index] for index in order])

    def look(_: int) -> None:
        if stop():
            raise Interrupted(f"stopped after {done} of {total} clips")

    for fold in folds:
        network = family.build(plan, dropout=0.0)
        network.load_state_dict(load_file(fold.weights))
        model = placement.model(network)

        def probabilities(clips: Sequence[int], model: Any = model) -> dict[str, Any]:
            return stream_probabilities(
                model, placement, store, clips, plan=plan, recipe=recipe, tell=look
            )

        found = probabilities(fold.held_out)
        for name, shares in found.items():
            predicted.setdefault(name, []).append(shares.argmax(axis=1))
        if wanted.svm and len(found) > 1:
            known = probabilities(fold.train)
            names = [name for name in found if name != ALL]
            classes = [store.labels[index] for index in fold.train]
            fused = svm_fusion([known[n] for n in names], classes, [found[n] for n in names])
            predicted.setdefault(SVM, []).append(fused)
        right += int((predicted[ALL][-1] == labels[done : done + len(fold.held_out)]).sum())
        done += len(fold.held_out)
        tell(done, total, right / done)
    return EvaluatedStreams(
        title,
        plan,
        wanted,
        tuple(store.keys[index] for index in order),
        tuple(store.groups[index] for index in order),
        labels,
        {name: np.concatenate(each) for name, each in predicted.items()},
        cost.macs,
        len(folds),
        time.monotonic() - started,
    )


def _resampled(
    right_SN: NDArray[np.float64], groups: Sequence[str | None], keys: Sequence[str]
) -> NDArray[np.float64] | None:
    """Top-1 of S rows in resamples of whole groups, resamples x S; None from too few groups.

    A clip without a group stands for itself.
    """
    units = [group or f"clip {key}" for group, key in zip(groups, keys, strict=True)]
    names, place = np.unique(units, return_inverse=True)
    if len(names) < MIN_UNITS:
        return None
    sums = np.stack([np.bincount(place, row, minlength=len(names)) for row in right_SN])
    sizes = np.bincount(place, minlength=len(names))
    drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    return np.asarray(sums[:, drawn].sum(axis=2) / sizes[drawn].sum(axis=1)).T


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
