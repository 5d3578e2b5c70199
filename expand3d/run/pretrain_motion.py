"""Pretraining of the network that finds flow, without labels (arXiv 1704.00389).

The folder that comes out holds a whole hidden two-stream network; its flow is learned, the network
that reads it is as it was initialised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ConfigError
from expand3d.core.plugins import MOTION_FAMILY
from expand3d.core.recipe import Recipe
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare.data import manifest_of
from expand3d.run.pretrain import Wanted, carried_out, described, find_clips, refuse_other_folder

if TYPE_CHECKING:
    from expand3d.data.cache import CachedStore
    from expand3d.training.tasks.motion import MotionScores, MotionTask
    from expand3d.training.tasks.unlabelled import Learned

#: What `ExportedNetwork.scores` calls the result.
SCORE = "held-out clips"
#: Adam's rate in the paper is 3.2e-5 for 400,000 steps of its large network; short trainings of
#: small ones need more.
RECIPE = Recipe(
    "motion", 8_000, None, batch=16, bn_batch=16, lr=1e-3, weight_decay=0, flip=True, test_views=1
)


@dataclass(frozen=True, kw_only=True)
class MotionPretraining(Wanted):
    """The pretraining of a network that finds flow."""

    recipe: Recipe = RECIPE


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
    store, parts = find_clips(wanted, manifest, crop=plan.crop, watch=watch)
    from expand3d.networks.layers.motion import MotionPlan
    from expand3d.training.tasks.motion import MotionTask

    assert isinstance(plan, MotionPlan)
    return MotionTask(plan, store, parts.train, parts.val, wanted.recipe, wanted.seed), store


def _network(
    wanted: MotionPretraining, task: MotionTask, store: CachedStore, result: Learned[MotionScores]
) -> ExportedNetwork:
    """The network as `expand3d export` describes networks; it is of no study."""
    made_by = "photometric losses, arXiv 1704.00389; the network that reads flow is untrained"
    scores = {SCORE: result.scores._asdict()}
    return described(wanted, task, store, result, scores=scores, origin={"made_by": made_by})
