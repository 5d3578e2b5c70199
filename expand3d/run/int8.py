"""A study's network in 8 bits: calibrated on training clips, compared on validation clips."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expand3d.core.measured import Latency
from expand3d.core.recipe import Recipe
from expand3d.core.scores import wilson
from expand3d.data.store import ClipStore
from expand3d.interop import onnx, onnx_int8
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import named
from expand3d.measure.latency import time_passes
from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.runner import prepared_again
from expand3d.study.record import Record
from expand3d.training.batches import test_batch
from expand3d.training.placement import Placement, place
from expand3d.training.scoring import Scorer, score_clips
from expand3d.training.views import Views

#: Training clips that calibrate the scales.
CALIBRATION = 64
REPORT = "int8.json"


@dataclass(frozen=True)
class Side:
    """Accuracy on the validation clips, and the latency of one clip, of one of the two files."""

    precision: str
    right: int
    clips: int
    latency: Latency

    def __str__(self) -> str:
        low, high = wilson(self.right, self.clips)
        return (
            f"{self.precision}: top-1 {self.right / self.clips:.1%} (95% interval {low:.1%} to "
            f"{high:.1%}, {self.clips} validation clips), {self.latency.text}"
        )


@dataclass(frozen=True)
class Compared:
    """A network before and after quantisation; `calibrated` is the number of training clips.

    `seen` says that its training had the validation clips among its own, so that both accuracies
    are too good; `other` counts the clips whose top-1 is right in one of the two only.
    """

    before: Side
    after: Side
    calibrated: int
    other: int
    seen: bool

    @property
    def lines(self) -> tuple[str, ...]:
        """The comparison in words."""
        first = self.before.latency
        note = "; the last training saw them too" if self.seen else ""
        return (
            f"int8, calibrated on {self.calibrated} training clips; {self.other} of "
            f"{self.before.clips} validation clips are right in one of the two only{note}",
            *map(str, (self.before, self.after)),
            f"{first.hardware}, {first.threads} threads, {first.setting}",
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class _InRuntime(nn.Module):
    """A file in ONNX Runtime as a module from its inputs to logits."""

    def __init__(self, file: Path, threads: int) -> None:
        super().__init__()
        self.session = onnx.session(file, threads=threads)

    def forward(self, *inputs: Tensor) -> Tensor:
        contiguous = [each.contiguous() for each in inputs]
        found = self.session.run(["logits"], onnx.fed(self.session, contiguous))
        return torch.from_numpy(found[0])


class _Bytes(Placement):
    """A place for networks that read pixels: views are their inputs."""

    def inputs(self, views: Views, kinds: Sequence[str] = ()) -> tuple[Tensor, ...]:
        return views


def quantise_study(
    network: ExportedNetwork,
    folder: Path,
    *,
    name: str,
    root: str,
    storage: str | None = None,
    threads: int | None = None,
    watch: Watch,
) -> Compared:
    """Write model-int8.onnx and int8.json beside model.onnx in `folder`; the comparison.

    The clips are those of the study `name`: the first search job's. ExportError where ONNX Runtime
    here lacks the kernels.
    """
    record = Record.open(name, root=root, storage=storage)
    _, ready = prepared_again(record, record.config(), watch)
    bench = ClipsOf(ready, watch).bench(network.plan, ready.final)
    job = ready.bench.jobs[0]
    recipe = dataclasses.replace(bench.recipe, test_crops=1)
    pixels = onnx.reads_pixels(folder / onnx.MODEL)
    where = place(dataclasses.replace(recipe, amp="off"), device="cpu", threads=threads)
    if pixels:
        where = _Bytes(where.device, where.threads, where.channels_last, where.amp)
    every = max(1, len(job.train) // CALIBRATION)
    chosen = job.train[::every][:CALIBRATION]
    small = folder / onnx_int8.MODEL
    feeding = _fed(bench.store, chosen, network, recipe, where, folder / onnx.MODEL)
    onnx_int8.quantise(folder / onnx.MODEL, small, feeding)
    sides, right = [], []
    for precision, file in (("float32", folder / onnx.MODEL), ("int8", small)):
        module = _InRuntime(file, where.threads)
        scorer = Scorer(module, where, views=recipe.bn_batch, kinds=network.plan.kinds)
        scores = score_clips(scorer, bench.store, job.held_out, plan=network.plan, recipe=recipe)
        right.append([score.rank == 0 for score in scores])
        clip = _batch(bench.store, job.held_out, network, recipe, where)
        latency = time_passes(
            lambda module=module, clip=clip: module(*clip),  # type: ignore[misc]
            placement=where,
            device="onnxruntime",
            setting=f"{precision}, {named('onnxruntime')}",
        )
        sides.append(Side(precision, sum(right[-1]), len(scores), latency))
    trained = set(bench.jobs[0].train)
    before, after = sides
    found = Compared(
        before,
        after,
        calibrated=len(chosen),
        other=sum(a != b for a, b in zip(*right, strict=True)),
        seen=network.weights is not None and bool(trained & set(job.held_out)),
    )
    text = json.dumps(found.to_json(), indent=2) + "\n"
    (folder / REPORT).write_text(text, encoding="utf-8")
    return found


def _batch(
    store: ClipStore,
    indices: Sequence[int],
    network: ExportedNetwork,
    recipe: Recipe,
    where: Placement,
) -> tuple[Tensor, ...]:
    """The network's inputs of the middle of the first clip."""
    one = dataclasses.replace(recipe, test_views=1)
    made = test_batch(store, indices, plan=network.plan, recipe=one, start=0, count=1)
    return tuple(each.contiguous() for each in where.inputs(made.views, network.plan.kinds))


def _fed(
    store: ClipStore,
    indices: Sequence[int],
    network: ExportedNetwork,
    recipe: Recipe,
    where: Placement,
    file: Path,
) -> Iterator[dict[str, Any]]:
    """The middle of each clip, under the names of the file's inputs."""
    names = onnx.session(file)
    for index in indices:
        yield onnx.fed(names, _batch(store, (index,), network, recipe, where))
