"""A trained network's accuracy on labelled videos, by a multi-view test of the papers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.classes import ByClass, by_class, mean_class_interval
from expand3d.core.errors import ConfigError, DataError, nearest
from expand3d.core.result import ClipScore, Interrupted
from expand3d.core.scores import Summary, means_of, summary, wilson
from expand3d.data.crops import test_crop
from expand3d.data.hashes import sha256
from expand3d.data.manifest import Manifest, Video
from expand3d.data.protocols import TRAINING, MultiView, read_views, reads_one_clip
from expand3d.data.protocols import refuse_other_inputs as refuse_codebases
from expand3d.data.splits import RULE
from expand3d.run.events import Watch
from expand3d.run.model import Trained
from expand3d.run.prepare.bench import device_for, threads_for
from expand3d.run.prepare.data import manifest_of, parts_of
from expand3d.run.reading import file_views, flow_facts
from expand3d.study.sections import Data, Execution

if TYPE_CHECKING:
    from expand3d.training.views import Views

PARTS = ("train", "val", "test", "all")
#: Clips that a refusal or a note names.
NAMED = 3


@dataclass(frozen=True)
class Wanted:
    """The evaluation that is wanted: which clips, and how many views of each.

    `views` is the rule of frames and crops: None is pyslowfast's, of networks that read other than
    one clip of frames the trainings'. `crop` is the side of a view in pixels; None is the papers':
    the training crop, and 128/112 of it where there are three crops. `calibrate` fits a temperature
    on the validation part. `known` is what a study's record says of its data, whose parts `seed`
    draws.
    """

    data: Data
    execution: Execution
    part: str = "all"
    views: str | None = None
    clips: int = 10
    crops: int = 1
    crop: int | None = None
    calibrate: bool = False
    seed: int = 0
    known: Mapping[str, Any] | None = None
    allow_seen: bool = False


@dataclass(frozen=True)
class Calibration:
    """The distance of probabilities from accuracy, as they are and after the temperature.

    `temperature` was fitted on `clips` validation clips, and is None where none was.
    """

    ece: float
    temperature: float | None = None
    clips: int = 0
    ece_after: float | None = None
    nll_after: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """The outcome: scores of single clips in the order of `videos`, whose labels are the network's.

    `probabilities` are N x classes. `seen` clips of these have trained the network. `skipped` are
    the keys of videos that could not be read, with why.
    """

    model: Trained
    wanted: Wanted
    protocol: MultiView
    videos: tuple[Video, ...]
    probabilities: NDArray[np.float64] = field(repr=False)
    scores: tuple[ClipScore, ...] = field(repr=False)
    calibration: Calibration
    seconds: float
    seen: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_class(self) -> ByClass:
        """The count of each class."""
        return by_class(self.scores)

    @property
    def summary(self) -> Summary:
        """Accuracies with the interval of top-1."""
        means = means_of(self.scores)
        assert means is not None, "there are clips"
        return summary(means, self.by_class)

    @property
    def _flow(self) -> dict[str, Any]:
        """The settings of the flow that was read, if any."""
        flow = self.model.reading.flow
        return {} if flow is None else flow_facts(self.model.plan, flow)

    def to_json(self) -> dict[str, Any]:
        """Everything but the probabilities."""
        found, protocol = self.summary, self.protocol
        clips = len(self.scores)
        return {
            "network": self.model.title,
            "digest": self.model.plan.digest,
            "data": self.wanted.data.data,
            "part": self.wanted.part,
            "clips": clips,
            "protocol": {
                "views": protocol.rule,
                "clips": protocol.clips,
                "crops": protocol.crops,
                "crop": protocol.crop,
                "target_fps": protocol.target_fps,
                **self._flow,
            },
            "top1": found.top1,
            "top1_interval": found.top1_ci,
            "top5": found.top5 if len(self.model.classes) > 5 else None,
            "top5_interval": wilson(found.top5 * clips, clips)
            if len(self.model.classes) > 5
            else None,
            "mean_class": found.mean_class,
            "mean_class_interval": mean_class_interval(self.by_class),
            "chance": found.chance,
            "nll": found.nll,
            "ece": self.calibration.ece,
            "temperature": self.calibration.temperature,
            "fitted_on": self.calibration.clips,
            "ece_after": self.calibration.ece_after,
            "nll_after": self.calibration.nll_after,
            "seen_in_training": self.seen,
            "known_training_clips": bool(self.model.clips),
            "skipped": dict(self.skipped),
            "seconds": self.seconds,
        }


def evaluate(
    model: Trained,
    wanted: Wanted,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int, int, float], None] = lambda done, total, accuracy: None,
) -> Evaluated:
    """The scores of `wanted.part` of the videos; Interrupted once `stop` says so.

    ConfigError where the data has classes that the network does not know, where clips have trained
    it, or where its clips cannot be seen by the rule. `tell` is told videos done, all of them,
    and the accuracy so far.
    """
    watch = watch or Watch()
    protocol = _protocol(wanted, model)
    manifest = labelled(manifest_of(wanted.data, watch), model)
    chosen = _chosen(wanted, manifest, watch)
    seen = _seen(model, chosen[wanted.part])
    if seen and not wanted.allow_seen:
        raise ConfigError(
            f"{len(seen)} of the {len(chosen[wanted.part])} clips trained this network, such as "
            f"{', '.join(seen[:NAMED])}; choose others by --part, or add --allow-seen"
        )
    execution = wanted.execution
    answers = model.answers(device=device_for(execution.device), threads=threads_for(execution))
    started = time.monotonic()
    skipped: dict[str, str] = {}

    def run(videos: Sequence[Video]) -> tuple[tuple[Video, ...], NDArray[np.float64]]:
        rows, kept = [], []
        right = 0
        for done, (video, found) in enumerate(_read(videos, model, protocol, wanted, skipped), 1):
            if stop():
                raise Interrupted(f"stopped after {done - 1} of {len(videos)} clips")
            mean = answers.probabilities(found).mean(dim=0).numpy()
            if not np.isfinite(mean).all():
                raise ConfigError(f"{model.title}: its output for {video.key} is not finite")
            rows.append(mean)
            kept.append(video)
            right += int(mean.argmax() == video.label)
            tell(done, len(videos), right / done)
        if not rows:
            raise DataError(f"{wanted.data.data}: no clip of the {wanted.part} part can be read")
        return tuple(kept), np.stack(rows)

    videos, probabilities = run(chosen[wanted.part])
    calibration = _calibration(probabilities, videos, run, chosen if wanted.calibrate else {})
    for key, why in skipped.items():
        watch.note(f"skipped {key}: {why}")
    from expand3d.training.scoring import clip_score

    scores = tuple(
        clip_score(row, key=video.key, label=video.label, group=video.group)
        for row, video in zip(probabilities, videos, strict=True)
    )
    return Evaluated(
        model,
        wanted,
        protocol,
        videos,
        probabilities,
        scores,
        calibration,
        time.monotonic() - started,
        len(seen),
        skipped,
    )


def _protocol(wanted: Wanted, model: Trained) -> MultiView:
    """The test that is wanted; ConfigError where the network cannot be seen so."""
    rule = wanted.views or ("pyslowfast" if reads_one_clip(model.plan) else TRAINING)
    if wanted.crops not in (1, 3):
        raise ConfigError(f"crops = {wanted.crops} must be 1 or 3")
    own = test_crop(model.plan.crop, wanted.crops)
    if rule != TRAINING:
        refuse_codebases(model.plan)
    elif wanted.crop not in (None, own):
        raise ConfigError(f"crop = {wanted.crop}: views as trainings are tested have {own} pixels")
    return MultiView(rule, wanted.clips, wanted.crops, wanted.crop or own, model.fps)


def labelled(manifest: Manifest, model: Trained) -> Manifest:
    """The manifest with the network's labels; ConfigError where it does not know a class."""
    labels = {name: label for label, name in enumerate(model.classes)}
    for name in manifest.class_names:
        if name not in labels:
            raise ConfigError(
                f"{manifest.source} has a class {name!r} that {model.title} does not know"
                f"{nearest(name, model.classes)}"
            )
    videos = tuple(
        Video(v.path, v.key, labels[manifest.class_names[v.label]], v.group, v.split)
        for v in manifest.videos
    )
    return Manifest(videos, model.classes, manifest.source, manifest.left_out)


def _chosen(wanted: Wanted, manifest: Manifest, watch: Watch) -> dict[str, tuple[Video, ...]]:
    """The videos of each part that is asked for."""
    if wanted.part not in PARTS:
        raise ConfigError(f"unknown part {wanted.part!r}{nearest(wanted.part, PARTS)}")
    if wanted.known is not None:
        manifest = manifest.without(wanted.known.get("skipped", ()))
    if wanted.part == "all" and not wanted.calibrate:
        return {"all": manifest.videos}
    rule = RULE if wanted.known is None else wanted.known.get("split_rule", 1)
    parts = parts_of(wanted.data, manifest, seed=wanted.seed, rule=rule)
    found = {
        name: tuple(manifest.videos[index] for index in indices)
        for name, indices in (("train", parts.train), ("val", parts.val), ("test", parts.test))
    }
    found["all"] = manifest.videos
    if not found[wanted.part]:
        raise DataError(f"{manifest.source}: there is no {wanted.part} part; try --part val")
    return found


def _seen(model: Trained, videos: Sequence[Video]) -> list[str]:
    """The keys of the videos that have trained the network, as far as that is known."""
    if not model.clips:
        return []
    return [video.key for video in videos if sha256(video.path)[:16] in model.clips]


def _read(
    videos: Sequence[Video],
    model: Trained,
    protocol: MultiView,
    wanted: Wanted,
    skipped: dict[str, str],
) -> Iterator[tuple[Video, Views]]:
    """The views of each video, read ahead; of videos that cannot be read, by choice, none."""
    from expand3d.training.batches import ahead

    plan, clips, crops = model.plan, protocol.clips, protocol.crops

    def make(number: int) -> Views | str:
        path = videos[number].path
        try:
            if protocol.rule == TRAINING:
                return file_views(path, plan, model.reading, clips=clips, crops=crops)
            return (read_views(path, plan, protocol),)
        except DataError as error:
            if not wanted.data.skip_bad:
                raise
            return str(error)

    with closing(ahead(make, range(len(videos)), workers=1)) as batches:
        for video, found in zip(videos, batches, strict=True):
            if isinstance(found, str):
                skipped[video.key] = found
            else:
                yield video, found


def _calibration(
    probabilities: NDArray[np.float64],
    videos: Sequence[Video],
    run: Callable[[Sequence[Video]], tuple[tuple[Video, ...], NDArray[np.float64]]],
    parts: Mapping[str, tuple[Video, ...]],
) -> Calibration:
    from expand3d.training.calibration import (
        expected_calibration_error,
        fit_temperature,
        heated,
        log_loss,
    )

    labels = [video.label for video in videos]
    ece = expected_calibration_error(probabilities, labels)
    if not parts.get("val"):
        return Calibration(ece)
    fitted_on, found = run(parts["val"])
    temperature = fit_temperature(found, [video.label for video in fitted_on])
    after = heated(probabilities, temperature)
    return Calibration(
        ece,
        temperature,
        len(fitted_on),
        expected_calibration_error(after, labels),
        log_loss(after, labels),
    )
