"""Pretraining of the network that finds flow, without labels (arXiv 1704.00389).

The folder that comes out holds a whole hidden two-stream network; its flow is learned, the network
that reads it is as it was initialised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype
from expand3d.core.plugins import MOTION_FAMILY
from expand3d.core.recipe import Recipe
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare.data import clip_store, manifest_of, parts_of, tell_films
from expand3d.run.prepare.sizes import Form, cached_side
from expand3d.run.pretrain import carried_out, described, refuse_other_folder
from expand3d.study.sections import Data, Execution

if TYPE_CHECKING:
    from expand3d.data.cache import CachedStore
    from expand3d.training.tasks.motion import MotionLearned, MotionTask

#: What `ExportedNetwork.scores` calls the result.
SCORE = "held-out clips"
#: Adam's rate in the paper is 3.2e-5 for 400,000 steps of its large network; short trainings of
#: small ones need more.
RECIPE = Recipe(
    "motion", 8_000, None, batch=16, bn_batch=16, lr=1e-3, weight_decay=0, flip=True, test_views=1
)


@dataclass(frozen=True)
class MotionPretraining:
    """The pretraining that is wanted; `seed` is that of splits, weights and augmentation.

    With `force` it begins anew in a folder that holds something, and replaces its files.
    """

    data: Data
    execution: Execution
    student: Genotype
    out: Path
    seed: int = 0
    recipe: Recipe = RECIPE
    force: bool = False


@dataclass(frozen=True)
class MotionPretrained:
    """The task that was learned, and the scores on its held-out clips."""

    task: MotionTask
    scores: Mapping[str, Any]


def pretrain_motion(
    wanted: MotionPretraining,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> MotionPretrained | None:
    """The network that learned, with its scores on held-out clips; None where `stop` ended it.

    `wanted.out` then holds the network with its weights, or the checkpoint from which the same
    call goes on. ExportError where the folder holds something else.
    """
    watch = watch or Watch()
    if wanted.student.family != MOTION_FAMILY:
        raise ConfigError(
            f"flow is learned by a network of {MOTION_FAMILY}, not {wanted.student.family}"
        )
    refuse_other_folder(wanted)
    task, store = _prepared(wanted, watch)
    from expand3d.training.tasks.motion import learn_motion

    scores = carried_out(
        wanted,
        task,
        store,
        learn=learn_motion,
        describe=lambda result: _network(wanted, task, store, result),
        watch=watch,
        stop=stop,
    )
    return None if scores is None else MotionPretrained(task, scores[SCORE])


def _prepared(wanted: MotionPretraining, watch: Watch) -> tuple[MotionTask, CachedStore]:
    family = get_family(MOTION_FAMILY)
    family.resolve(wanted.student)  # said before anything is read
    manifest = manifest_of(wanted.data, watch)
    plan = family.resolve(wanted.student, num_classes=len(manifest.class_names))
    side = cached_side(plan.crop, wanted.recipe)
    store = clip_store(wanted.data, manifest, form=Form(side), watch=watch)
    parts = parts_of(wanted.data, store.manifest, seed=wanted.seed)
    tell_films(wanted.data, store, parts.part_of(), watch, refuse=False)
    for note in parts.notes:
        watch.note(note)
    from expand3d.networks.layers.motion import MotionPlan
    from expand3d.training.tasks.motion import MotionTask

    assert isinstance(plan, MotionPlan)
    return MotionTask(plan, store, parts.train, parts.val, wanted.recipe, wanted.seed), store


def _network(
    wanted: MotionPretraining, task: MotionTask, store: CachedStore, result: MotionLearned
) -> ExportedNetwork:
    """The network as `expand3d export` describes networks; it is of no study."""
    made_by = "photometric losses, arXiv 1704.00389; the network that reads flow is untrained"
    scores = {SCORE: result.scores._asdict()}
    return described(wanted, task, store, result, scores=scores, origin={"made_by": made_by})
