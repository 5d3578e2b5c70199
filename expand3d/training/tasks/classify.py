"""Classification, the proxy training: one network and labelled clips in, one `Training` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from expand3d.core.errors import DataError
from expand3d.core.extras import PLAIN, Extras
from expand3d.core.genotype import Plan, digest
from expand3d.core.inputs import RGB
from expand3d.core.recipe import Recipe
from expand3d.core.result import TRAINING_FACTOR, ClipScore, Status, Training
from expand3d.data.store import FRAMES, ClipStore
from expand3d.networks import get_family
from expand3d.networks.multigrid import macs_of_visits, shapes
from expand3d.networks.weights.convert import state_digest
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import ClipBatch, train_batch
from expand3d.training.full import Besides, Full
from expand3d.training.loop import Loop, Stopping
from expand3d.training.peers import ALONE
from expand3d.training.placement import Placement, place
from expand3d.training.progress import Progress
from expand3d.training.scoring import Scorer, score_clips
from expand3d.training.step import Ended, Pass, is_out_of_memory, make_optimiser, parameter_groups
from expand3d.training.warm import begun, freeze, warm_optimiser


@dataclass(frozen=True)
class ClassifyTask:
    """A plan's network, the clips that it trains on, and those that it is tested on."""

    plan: Plan
    store: ClipStore
    train_indices: tuple[int, ...]
    eval_indices: tuple[int, ...]
    recipe: Recipe
    seed: int
    #: The weights that the network begins with; None draws them.
    initial: Mapping[str, Tensor] | None = None
    extras: Extras = PLAIN
    #: True where torch.compile makes the passes.
    compiled: bool = False
    #: The part of the initial weights that is new, by name; without it nothing is.
    new: Mapping[str, Tensor] = field(default_factory=dict)
    #: True where the training may go on after its test.
    on_the_way: bool = False

    @property
    def clips(self) -> int:
        return len(self.train_indices)

    @property
    def passes(self) -> int:
        return self.recipe.batch // self.recipe.bn_batch

    @property
    def test_views(self) -> int:
        return len(self.eval_indices) * self.tested.test_views * self.tested.test_crops

    @property
    def tested(self) -> Recipe:
        """The recipe with the views of its test: one on the way, where a test decides less."""
        return replace(self.recipe, test_views=1, test_crops=1) if self.on_the_way else self.recipe

    def belongs(self) -> dict[str, str]:
        # Within a name that checkpoints have always had: one that lacks a name is never continued.
        begun = "" if self.initial is None else f" from {state_digest(self.initial)}"
        extras = [] if self.extras == PLAIN else [self.extras.to_json()]
        return {
            "plan": self.plan.digest + begun,
            "recipe": digest(self.recipe.to_json(), *extras),
            **course(self.store, self.train_indices, self.seed),
            FRAMES: digest([self.store.identities[i] for i in self.train_indices]),
        }

    def build(self) -> nn.Module:
        network = get_family(self.plan.family).build(self.plan, dropout=self.recipe.dropout)
        if self.initial is not None:
            fresh = network.state_dict()
            network.load_state_dict(begun(self.initial, fresh, self.new, self.recipe))
            freeze(network, self.new, self.recipe)
        if self.compiled:
            network.compile()  # in place: names of weights stay
        return network

    def optimiser(self, network: nn.Module) -> Optimizer:
        if self.initial is not None and self.recipe.warm_lr != 1:
            return warm_optimiser(network, self.new, self.recipe)
        return make_optimiser(parameter_groups(network, self.recipe.weight_decay), self.recipe)

    def batch(self, number: int) -> ClipBatch:
        return train_batch(
            self.store,
            self.train_indices,
            plan=self._read_as(number // self.passes),
            recipe=self.recipe,
            seed=self.seed,
            start=number * self.recipe.bn_batch,
            count=self.recipe.bn_batch,
            extras=self.extras,
        )

    def _read_as(self, step: int) -> Plan:
        """The plan as which the clips of a step are read."""
        recipe = self.recipe
        shape = recipe.shape_at(step, steps=recipe.steps_for(self.clips))
        return shapes(self.plan, recipe)[shape]

    def forward(self, network: nn.Module, batch: ClipBatch, placement: Placement) -> Pass:
        return classify(
            network,
            batch,
            kinds=self.plan.kinds,
            recipe=self.recipe,
            placement=placement,
            weights=self.class_weights,
        )

    @cached_property
    def class_weights(self) -> Tensor | None:
        """The weight of each class's loss, of mean 1 over the training clips; None without any."""
        if self.extras.balance != "weights":
            return None
        labels = [self.store.labels[i] for i in self.train_indices]
        clips = torch.bincount(torch.tensor(labels), minlength=self.plan.num_classes)
        present = int((clips > 0).sum())
        return len(labels) / (present * clips.clamp(min=1).float())

    def test(
        self,
        network: nn.Module,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> tuple[ClipScore, ...]:
        scorer = Scorer(network, placement, views=self.recipe.bn_batch, kinds=self.plan.kinds)
        try:
            return score_clips(
                scorer,
                self.store,
                self.eval_indices,
                plan=self.plan,
                recipe=self.tested,
                workers=placement.loader_threads,
                after_batch=tell,
            )
        finally:
            notes.extend(scorer.notes)


def course(store: ClipStore, train_indices: Sequence[int], seed: int) -> dict[str, str]:
    """Digests of the clips that train and of the seed: those of one fold and repeat of a study."""
    clips = [(store.keys[i], store.labels[i]) for i in train_indices]
    return {"seed": str(seed), "training clips": digest(clips)}


def classify(
    network: nn.Module,
    batch: ClipBatch,
    *,
    recipe: Recipe,
    placement: Placement,
    kinds: Sequence[str] = (RGB,),
    weights: Tensor | None = None,
) -> Pass:
    """The cross-entropy of a batch, and how many of its views have the true class on top.

    A network of several streams returns logits of each. Their losses are added: streams share no
    weights, so that each learns as if it were trained apart. `weights` are those of the classes. Of
    a mixed clip the class with the larger share is the true one.
    """
    labels, share = batch.labels.to(placement.device), batch.share
    inputs = placement.inputs(batch.views, kinds)
    if share < 1:
        inputs = tuple(share * each + (1 - share) * each.flip(0) for each in inputs)
    with placement.autocast():
        found = network(*inputs)
    streams = found if isinstance(found, tuple) else (found,)
    smoothing = recipe.label_smoothing

    def loss(logits: Tensor, of: Tensor) -> Tensor:
        if weights is None:
            return cross_entropy(logits, of, label_smoothing=smoothing)
        each = cross_entropy(logits, of, label_smoothing=smoothing, reduction="none")
        return (each * weights.to(each.device)[of]).mean()

    losses = [loss(each.float(), labels) for each in streams]
    if share < 1:
        others = [loss(each.float(), labels.flip(0)) for each in streams]
        losses = [share * a + (1 - share) * b for a, b in zip(losses, others, strict=True)]
    return Pass(sum(losses[1:], losses[0]), (_best(streams) == labels).sum())


def _best(streams: Sequence[Tensor]) -> Tensor:
    """The class that all streams together find most probable, N."""
    if len(streams) == 1:
        return streams[0].detach().argmax(dim=1)
    shares = [each.detach().float().softmax(dim=1) for each in streams]
    return sum(shares[1:], shares[0]).argmax(dim=1)


def train(
    plan: Plan,
    store: ClipStore,
    *,
    train_indices: Sequence[int],
    eval_indices: Sequence[int],
    recipe: Recipe,
    seed: int,
    forward_macs: int,
    test_macs: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 120.0,
    weights_out: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    timeout: float | None = None,
    until: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    initial: Mapping[str, Tensor] | None = None,
    new: Mapping[str, Tensor] | None = None,
    full: Full | None = None,
) -> Training:
    """The outcome of training `plan`'s network on some clips and testing it on others.

    `forward_macs` and `test_macs` are MACs of one view at the training and at the test crop.
    `stop` is asked between batches; once true, the checkpoint is written and `Interrupted`
    raised. `timeout` is in seconds of this training, kept across resumes. Where `checkpoint`
    exists and is of the same plan, recipe, seed, data and `initial`, training continues from it; it
    stays until the caller has recorded the outcome and calls `discard`. `until` is a number of clip
    visits: the network is tested by one view once it has seen so many, rounded up to batches, and a
    later call with the same checkpoint trains on to the bits of one that was never divided. The
    learning rate is always that of the whole recipe. `weights_out` receives the
    trained weights (safetensors). `initial` is the state dict that the network begins with; without
    one its weights are drawn from the seed; `new` says what of it is new. `full` is what a training
    in full does beside.
    Divergence, exhausted memory and the time-out are outcomes; every other exception is raised,
    DataError where there is no clip to train on.
    """
    if not train_indices:
        raise DataError("the training part holds no clip")
    placement = place(recipe, device=device, threads=threads)
    with placement.active() as memory:
        parts = tuple(train_indices), tuple(eval_indices)
        extras = PLAIN if full is None else full.extras
        compiled = full is not None and full.compiled
        task = ClassifyTask(
            plan,
            store,
            *parts,
            recipe,
            seed,
            initial,
            extras,
            compiled,
            new or {},
            on_the_way=until is not None and until < recipe.visits_for(len(train_indices)),
        )
        # A long training alone has to end where it cannot be continued from.
        writer = checkpoints.Checkpointer(
            checkpoint, seconds=checkpoint_seconds, must=full is not None
        )
        run = Loop(
            task,
            placement,
            writer,
            Stopping(stop, timeout, until, on_progress),
            memory.look,
            log=None if full is None else full.log,
            beside=Besides(task, placement, full) if full and full.peers.first else None,
            peers=ALONE if full is None else full.peers,
        )
        run.resume()
        status, reason, scores = _outcome(run)
        if status == "ok" and weights_out is not None and run.peers.first:
            # The recipe is left out, so that equal weights are equal files.
            checkpoints.save_weights(run.network, weights_out, course(store, parts[0], seed))
        compiler = {"compile": "on"} if compiled else {}
        views = len(scores) * task.tested.test_views * task.tested.test_crops
        return Training(
            status=status,
            reason=reason,
            scores=scores,
            clip_visits=run.visits,
            training_macs=TRAINING_FACTOR * _visited_macs(run, plan, whole=forward_macs),
            seconds=run.seconds(),
            peak_memory=memory.peak(),
            curve=tuple(run.curve),
            notes=tuple(run.notes),
            environment={**placement.environment(), "bn_batch": recipe.bn_batch, **compiler},
            test_macs=(test_macs or forward_macs) * views,
            waited_seconds=run.waited,
            test_seconds=run.tested,
        )


def _visited_macs(run: Loop[Any, Any, Any], plan: Plan, *, whole: int) -> int:
    """Multiply-adds of the forward passes so far, each at the shape of its clips.

    `whole` are those of a whole clip.
    """
    recipe = run.recipe
    by_range = [recipe.by_shape(steps, steps=run.steps) for steps in run.taken]
    visits = [sum(each) * recipe.batch for each in zip(*by_range, strict=True)]
    if not recipe.smaller_first:
        return whole * sum(visits)
    return macs_of_visits(plan, recipe.multigrid, visits)


def _outcome(
    run: Loop[nn.Module, ClipBatch, tuple[ClipScore, ...]],
) -> tuple[Status, str | None, tuple[ClipScore, ...]]:
    """Train and test; what went wrong where there is no score."""
    try:
        run.fit()
        return "ok", None, run.test() if run.peers.first else ()
    except Ended as ended:
        return ended.status, str(ended), ()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"in training at step {run.step + 1}" if run.step < run.last else "in testing"
        return "out of memory", f"{where}: {checkpoints.first_line(error)}", ()
