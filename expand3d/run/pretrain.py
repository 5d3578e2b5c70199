"""Pretraining without labels: a 3D network learns from a frozen 2D one (arXiv 1711.08200).

The folder that comes out is one that `expand3d export --to json` could have written, with the log
beside it; while the pretraining runs it holds the checkpoint to continue from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from expand3d.core.errors import ExportError
from expand3d.core.files import refuse_unwritable, writing
from expand3d.core.genotype import Genotype
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.data.store import FRAMES
from expand3d.interop.formats import refuse_occupied
from expand3d.interop.json_folder import NETWORK, WEIGHTS, load_export, write_description
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare.bench import device_for
from expand3d.run.prepare.data import clip_store, manifest_of, parts_of, tell_films
from expand3d.run.prepare.sizes import Form, cached_side
from expand3d.run.teacher import load_teacher
from expand3d.study.sections import Data, Execution
from expand3d.study.session import Session

if TYPE_CHECKING:
    from expand3d.data.cache import CachedStore
    from expand3d.data.manifest import Manifest
    from expand3d.data.splits import Splits
    from expand3d.training.tasks.transfer import Transferred, TransferTask
    from expand3d.training.tasks.unlabelled import Unlabelled

#: The paper's learning rate; its 150 epochs of half a million clips are beyond a first look.
RECIPE = Recipe("pretrain", 4_000, None, batch=16, bn_batch=16, lr=0.1, dropout=0.0, test_views=1)
LOG, CHECKPOINT = "pretrain.jsonl", "checkpoint.pt"
#: What `ExportedNetwork.scores` calls the result.
SCORE = "held-out pairs"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The pretraining that is wanted; `seed` is that of splits, weights and augmentation.

    With `force` it begins anew in a folder that holds something, and replaces its files.
    """

    data: Data
    execution: Execution
    student: Genotype
    out: Path
    recipe: Recipe
    seed: int = 0
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Pretraining(Wanted):
    """The pretraining of a 3D network by a frozen 2D one, the `teacher`."""

    teacher: Path
    teacher_preset: str | None = None
    recipe: Recipe = RECIPE


def pretrain(
    wanted: Pretraining,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Mapping[str, Any] | None:
    """The pretrained network's scores on held-out pairs; None where `stop` ended it.

    `wanted.out` then holds the network with its weights, or the checkpoint from which the same
    call goes on. ExportError where the folder holds something else.
    """
    watch = watch or Watch()
    refuse_other_folder(wanted)
    task, store = _prepared(wanted, watch)
    from expand3d.training.tasks.transfer import transfer

    return carried_out(
        wanted,
        task,
        store,
        learn=transfer,
        describe=lambda result: _network(wanted, task, store, result),
        watch=watch,
        stop=stop,
    )


class Learns(Protocol):
    """A task whose checkpoint and result say what they belong to."""

    def belongs(self) -> dict[str, str]: ...


class Learned(Protocol):
    """The facts of a pretraining beside its scores."""

    @property
    def clip_visits(self) -> int: ...

    @property
    def environment(self) -> Mapping[str, Any]: ...

    @property
    def notes(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Learns)
R = TypeVar("R")


def refuse_other_folder(wanted: Wanted) -> None:
    """An error where the folder holds something that no pretraining has begun, or cannot be."""
    with writing(wanted.out):
        begun = (wanted.out / LOG).is_file()
    if not begun:
        refuse_occupied(wanted.out, force=wanted.force)
    refuse_unwritable(wanted.out)


def carried_out(
    wanted: Wanted,
    task: T,
    store: CachedStore,
    *,
    learn: Callable[..., R],
    describe: Callable[[R], ExportedNetwork],
    watch: Watch,
    stop: Callable[[], bool],
) -> Mapping[str, Any] | None:
    """The scores of what `learn` made of the task, in the folder as `describe` says; None if ended.

    `learn` goes on from the folder's checkpoint. What is finished is not begun again.
    """
    from expand3d.training.checkpoint import discard

    out, execution = wanted.out, wanted.execution
    if wanted.force:
        for name in (NETWORK, WEIGHTS, LOG, CHECKPOINT):
            discard(out / name)
    if (out / NETWORK).is_file():
        return _finished(out, task, store, watch)
    try:
        result = learn(
            task,
            weights_out=out / WEIGHTS,
            log=out / LOG,
            checkpoint=out / CHECKPOINT,
            device=device_for(execution.device),
            threads=execution.threads,
            stop=stop,
            on_progress=lambda progress: watch.training(None, progress),
            say=watch.note,
        )
    except Interrupted as stopped:
        watch.note(str(stopped))
        return None
    network = describe(result)
    write_description(network, out, weights=WEIGHTS)
    discard(out / CHECKPOINT)
    return network.scores


def find_clips(
    wanted: Wanted, manifest: Manifest, *, crop: int, watch: Watch
) -> tuple[CachedStore, Splits]:
    """The clips, decoded for a network of this crop, and their parts."""
    form = Form(cached_side(crop, wanted.recipe))
    store = clip_store(wanted.data, manifest, form=form, watch=watch)
    parts = parts_of(wanted.data, store.manifest, seed=wanted.seed)
    tell_films(wanted.data, store, parts.part_of(), watch, refuse=False)
    for note in parts.notes:
        watch.note(note)
    return store, parts


def _prepared(wanted: Pretraining, watch: Watch) -> tuple[TransferTask, CachedStore]:
    """The task, once teacher and student are known to be legal and the clips are decoded."""
    family = get_family(wanted.student.family)
    family.resolve(wanted.student)  # said before anything is read
    teacher = load_teacher(wanted.teacher, preset=wanted.teacher_preset)
    manifest = manifest_of(wanted.data, watch)
    plan = family.resolve(wanted.student, num_classes=len(manifest.class_names))
    if plan.frames == 1:
        watch.note("the student reads single frames: it learns nothing of motion")
    crop = max(plan.crop, teacher.crop)
    store, parts = find_clips(wanted, manifest, crop=crop, watch=watch)
    from expand3d.training.tasks.transfer import TransferTask

    task = TransferTask(
        plan, store, parts.train, parts.val, wanted.recipe, wanted.seed, teacher=teacher
    )
    return task, store


def _finished(out: Path, task: Learns, store: CachedStore, watch: Watch) -> Mapping[str, Any]:
    """The scores of what stands in the folder; ExportError where that is of another pretraining."""
    kept = load_export(out)
    before, now = dict(kept.provenance.get("belongs", {})), task.belongs()
    if FRAMES not in before:  # an earlier version's: what it kept says as much
        data = kept.provenance.get("data", {})
        alike = (data.get("fingerprint"), kept.target_fps) == (store.fingerprint, store.spec.fps)
        before[FRAMES] = now[FRAMES] if alike else ""
    other = [name for name, value in now.items() if before.get(name) != value]
    if other:
        raise ExportError(
            f"--out {out} holds the result of another {', '.join(other)}; choose a new folder, or "
            "add --force"
        )
    watch.note(f"{out} is finished; nothing is left to do")
    return kept.scores


def _network(
    wanted: Pretraining, task: TransferTask, store: CachedStore, result: Transferred
) -> ExportedNetwork:
    """The student as `expand3d export` describes networks; it is of no study."""
    score = {"pairs": result.pairs, "accuracy": result.accuracy, "chance": 0.5, "nll": result.loss}
    teacher = {"file": str(wanted.teacher.resolve()), "preset": wanted.teacher_preset}
    made_by = "supervision transfer, arXiv 1711.08200; the classifier is untrained"
    origin = {"made_by": made_by, "teacher": teacher}
    return described(wanted, task, store, result, scores={SCORE: score}, origin=origin)


def described(
    wanted: Wanted,
    task: Unlabelled,
    store: CachedStore,
    result: Learned,
    *,
    scores: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> ExportedNetwork:
    """A pretrained network as `expand3d export` describes networks, with its `origin`."""
    provenance = {
        **origin,
        "belongs": task.belongs(),
        "data": {"source": wanted.data.data, "fingerprint": store.fingerprint},
        "clips": {"training": len(task.train), "held out": len(task.held_out)},
        "clip_visits": result.clip_visits,
        "environment": dict(result.environment),
        "session": dataclasses.asdict(Session.start()),
        "notes": list(result.notes),
        "log": LOG,
    }
    return ExportedNetwork(
        study="pretraining",
        trial=0,
        genotype=wanted.student,
        plan=task.plan,
        recipe=wanted.recipe.to_json(),
        target_fps=wanted.data.fps,
        classes=tuple(store.class_names),
        scores=dict(scores),
        provenance=provenance,
    )
