"""One candidate in, its trainings out: the only module that knows plan, data, recipe and device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.core.result import TRAINING_FACTOR, Training, TrainingKey
from expand3d.core.trial import SCRATCH
from expand3d.data.flow.store import FlowStore
from expand3d.data.store import ClipStore
from expand3d.networks import get_family
from expand3d.networks.multigrid import macs_of_visits
from expand3d.networks.weights.initial import Initial

if TYPE_CHECKING:
    from expand3d.networks.weights.remap import Remapped
    from expand3d.training.full import Full


class CannotStart(Exception):
    """A network that the given weights cannot start; others may still be."""


@dataclass(frozen=True)
class Job:
    """One training of a candidate, whose `key` is without visits; clips are numbers in the store.

    The seed depends on fold and repeat but not on the candidate, so that candidates are compared
    under the same order of clips and the same augmentation.
    """

    key: TrainingKey
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Bench:
    """The data and the recipe that every candidate of a study is trained by, the same for all."""

    store: ClipStore
    recipe: Recipe
    jobs: tuple[Job, ...]
    device: str
    threads: int
    fingerprint: str
    timeout: float | None = None
    #: Trainings with further seeds, of candidates that ask for one of those alone.
    spare: tuple[Job, ...] = ()
    #: The weights that networks of its family begin with; None draws them.
    initial: Initial | None = None
    #: The weights that single trainings begin with, those of the parent in the same one, by key.
    inherited: tuple[tuple[TrainingKey, Initial], ...] = ()

    def only(self, repeat: int | None) -> Bench:
        """The same with the trainings of one seed alone; all of them for None."""
        if repeat is None:
            return self
        every = (*self.jobs, *self.spare)
        return replace(self, jobs=tuple(job for job in every if job.key.repeat == repeat))

    def start(self, plan: Plan) -> str:
        """The hash of the weights that `plan`'s trainings begin with, or SCRATCH."""
        found = self._initial(plan)
        return SCRATCH if found is None else found.sha

    def weights(self, plan: Plan, job: Job) -> Remapped | None:
        """The weights that a job begins with; None where they are drawn.

        CannotStart where the family has no rule for this network.
        """
        found = dict(self.inherited).get(job.key) or self._initial(plan)
        if found is None:
            return None
        try:
            classes = self.store.class_names
            return found.start(plan, seed=job.seed, classes=classes)
        except WeightsError as error:
            raise CannotStart(str(error)) from None

    def _initial(self, plan: Plan) -> Initial | None:
        started = self.initial is not None and self.initial.plan.family == plan.family
        return self.initial if started else None

    def identity(self, plan: Plan, start: str = SCRATCH) -> str:
        """16 hex digits of everything that a candidate's scores depend on.

        `start` is what its weights start from, as `Candidate.start` says.
        """
        jobs = [[str(job.key), list(job.train), list(job.held_out), job.seed] for job in self.jobs]
        starts = [each for each in (start, self.start(plan)) if each != SCRATCH]
        flow = [self.store.spec.identity()] if isinstance(self.store, FlowStore) else []
        return digest(plan.to_json(), self.recipe.to_json(), self.fingerprint, jobs, *starts, *flow)

    @property
    def visits(self) -> int:
        """Training clips that a candidate sees, in all its trainings."""
        return sum(self.by_shape)

    @property
    def by_shape(self) -> tuple[int, ...]:
        """The same by the shape in which they are read, as `recipe.multigrid` says."""
        recipe = self.recipe
        steps = [recipe.steps_for(len(job.train)) for job in self.jobs]
        counts = [recipe.by_shape(range(each), steps=each) for each in steps]
        return tuple(sum(shape) * recipe.batch for shape in zip(*counts, strict=True))

    def training_macs(self, plan: Plan) -> int:
        """Multiply-adds of all trainings of a candidate, each clip in the shape that is read."""
        return TRAINING_FACTOR * macs_of_visits(plan, self.recipe.multigrid, self.by_shape)

    def memory(self, plan: Plan) -> int | None:
        """Predicted bytes at the peak of one training; None where a GPU holds the tensors."""
        if self.device != "cpu":
            return None
        from expand3d.measure.memory import training_memory

        return training_memory(plan, clips=self.recipe.bn_batch)


def make_jobs(
    *,
    train: Sequence[int],
    val: Sequence[int],
    folds: Sequence[Sequence[int]],
    repeats: int,
    seed: int,
) -> tuple[Job, ...]:
    """The trainings of every candidate: one, or `repeats` seeds of each fold.

    With folds, each is held out once while the others train, and the predictions are pooled;
    `train` and `val` then only say which clips take part.
    """
    everything = sorted({*train, *val})
    parts = [(tuple(i for i in everything if i not in set(fold)), tuple(fold)) for fold in folds]
    jobs = []
    for fold, (kept, held_out) in enumerate(parts or [(tuple(train), tuple(val))]):
        for repeat in range(repeats):
            seed_of_job = int(digest(seed, fold, repeat)[:8], 16)
            jobs.append(Job(TrainingKey(fold, repeat), kept, held_out, seed_of_job))
    return tuple(jobs)


def evaluate(
    plan: Plan,
    bench: Bench,
    *,
    done: Mapping[TrainingKey, Training],
    checkpoint: Callable[[TrainingKey], Path],
    stop: Callable[[], bool],
    on_progress: Callable[..., None],
    weights_out: Callable[[TrainingKey], Path | None] = lambda key: None,
    visits: int | None = None,
) -> Iterator[tuple[TrainingKey, Training]]:
    """The trainings of `plan` that are not in `done`, one after the other, as they finish.

    Ends early after a training without scores: the candidate has failed, whatever the other
    folds would say. Raises `Interrupted` when `stop` says so; the checkpoint is then on disk.
    `weights_out` names the file that receives a training's weights, None where nobody wants them.
    After `visits` clip visits each is tested, and goes on from its checkpoint in a later call.
    """
    if any(training.status != "ok" for training in done.values()):
        return
    for job in bench.jobs:
        key = job.key.until(visits)
        if key in done:
            continue
        training = train_once(
            plan,
            bench,
            job,
            checkpoint=checkpoint(key),
            stop=stop,
            on_progress=on_progress,
            weights_out=weights_out(key),
            visits=visits,
        )
        yield key, training
        if training.status != "ok":
            return


def train_once(
    plan: Plan,
    bench: Bench,
    job: Job,
    *,
    checkpoint: Path,
    stop: Callable[[], bool],
    on_progress: Callable[..., None],
    weights_out: Path | None = None,
    visits: int | None = None,
    full: Full | None = None,
) -> Training:
    """One training of `plan`, up to `visits` where given; `weights_out` receives its weights.

    `full` is what a training in full does beside its steps.
    """
    from expand3d.data.crops import test_crop
    from expand3d.training.tasks.classify import train

    family, recipe = get_family(plan.family), bench.recipe
    begun = bench.weights(plan, job)
    # On the way one view is tested, at the training crop.
    wide = test_crop(plan.crop, recipe.test_crops if visits is None else 1)
    return train(
        plan,
        bench.store,
        train_indices=job.train,
        eval_indices=job.held_out,
        recipe=recipe,
        seed=job.seed,
        device=bench.device,
        threads=bench.threads,
        forward_macs=family.cost(plan).macs,
        test_macs=family.cost(plan, crop=wide).macs,
        checkpoint=checkpoint,
        weights_out=weights_out,
        stop=stop,
        timeout=bench.timeout,
        until=visits,
        on_progress=on_progress,
        initial=None if begun is None else begun.state,
        new=None if begun is None else begun.new,
        full=full,
    )
