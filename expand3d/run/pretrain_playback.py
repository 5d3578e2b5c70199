"""Pretraining of a network that tells how a clip is played, on the user's own clips.

The folder that comes out holds the network with classes of its own. `--init` takes its weights; the
last layer is then drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import DataError
from expand3d.core.recipe import Recipe
from expand3d.interop.network import TRAINING_CLIPS, ExportedNetwork
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare.data import manifest_of
from expand3d.run.pretrain import Wanted, carried_out, described, find_clips, refuse_other_folder

if TYPE_CHECKING:
    from expand3d.data.cache import CachedStore
    from expand3d.training.tasks.playback import PlaybackScores, PlaybackTask
    from expand3d.training.tasks.unlabelled import Learned

#: What `ExportedNetwork.scores` calls the result.
SCORE = "held-out views"
RECIPE = Recipe("playback", 4_000, None, batch=16, bn_batch=16, lr=0.1, dropout=0.2, test_views=1)


@dataclass(frozen=True, kw_only=True)
class PlaybackPretraining(Wanted):
    """The pretraining by how clips are played."""

    recipe: Recipe = RECIPE


def pretrain_playback(
    wanted: PlaybackPretraining,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Mapping[str, Any] | None:
    """The accuracy at telling held-out clips' playback; None where `stop` ended it.

    Clips of the training part alone train it, and those of the validation part score it.
    `wanted.out` then holds the network with its weights, or the checkpoint from which the same
    call goes on. ExportError where the folder holds something else.
    """
    watch = watch or Watch()
    refuse_other_folder(wanted)
    task, store = _prepared(wanted, watch)
    from expand3d.training.tasks.playback import learn_playback

    scores = carried_out(
        wanted,
        task,
        store,
        learn=learn_playback,
        describe=lambda result: _network(wanted, task, store, result),
        watch=watch,
        stop=stop,
    )
    return None if scores is None else scores[SCORE]


def _prepared(wanted: PlaybackPretraining, watch: Watch) -> tuple[PlaybackTask, CachedStore]:
    from expand3d.training.tasks.playback import (
        FASTEST,
        WAYS,
        PlaybackTask,
        long_enough,
        refuse_still,
    )

    family = get_family(wanted.student.family)
    plan = family.resolve(wanted.student, num_classes=len(WAYS))
    refuse_still(plan)  # said before anything is read
    manifest = manifest_of(wanted.data, watch)
    store, parts = find_clips(wanted, manifest, crop=plan.crop, watch=watch)
    train, held_out = (long_enough(plan, store, part) for part in (parts.train, parts.val))
    short = len(parts.train) + len(parts.val) - len(train) - len(held_out)
    if not train or not held_out:
        raise DataError(
            f"no clip of a part lasts {plan.duration * FASTEST} frames, which {FASTEST}x of "
            f"{plan.frames} x {plan.stride} frames needs; --set a shorter clip"
        )
    if short:
        watch.note(f"{short} clips are left out: they are too short to be played {FASTEST}x")
    return PlaybackTask(plan, store, train, held_out, wanted.recipe, wanted.seed), store


def _network(
    wanted: PlaybackPretraining,
    task: PlaybackTask,
    store: CachedStore,
    result: Learned[PlaybackScores],
) -> ExportedNetwork:
    """The network as `expand3d export` describes networks; it is of no study."""
    from expand3d.training.tasks.playback import WAYS

    made_by = "speed and direction of playback told apart; labels were not read"
    clips = sorted({store.shas[index][:16] for index in task.train})
    network = described(
        wanted,
        task,
        store,
        result,
        scores={SCORE: result.scores._asdict()},
        origin={"made_by": made_by, TRAINING_CLIPS: clips},
    )
    return replace(network, classes=tuple(way.name for way in WAYS))
