"""One network trained in full: of a trial, a preset or a description, on any labelled videos.

The folder that comes out is one that `expand3d export --to json` could have written, with the log,
the best weights and the scores of single clips beside it. While the training runs it holds the
checkpoint to continue from.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ConfigError, FileError, UserError
from expand3d.core.extras import PLAIN, Extras
from expand3d.core.files import make_folder, refuse_occupied, refuse_unwritable, write_whole
from expand3d.core.genotype import Genotype, Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted, Training
from expand3d.core.scores import summary
from expand3d.core.trial import SCRATCH
from expand3d.data.flow.store import FlowStore
from expand3d.data.mirrored import mirror_note
from expand3d.data.splits import RULE, Splits
from expand3d.execute.evaluate import Bench, Job, make_jobs, train_once
from expand3d.interop.json_folder import NETWORK, WEIGHTS, load_export, write_description
from expand3d.interop.network import TRAINING_CLIPS, ExportedNetwork
from expand3d.networks import get_family
from expand3d.networks.multigrid import shapes
from expand3d.run.by_class import too_few, training_clips
from expand3d.run.events import Watch
from expand3d.run.inherit import Parent
from expand3d.run.initial import find_initial, refuse_unfit, unknown_clips
from expand3d.run.prepare.bench import device_for, threads_for
from expand3d.run.prepare.data import (
    Clips,
    cut_clips,
    find_videos,
    measures,
    refuse_changed_data,
    sized_store,
    tell_films,
    with_flow,
)
from expand3d.run.prepare.sizes import Form, sizes_of
from expand3d.run.reading import flow_facts
from expand3d.study.sections import Data, Execution
from expand3d.study.session import Session

if TYPE_CHECKING:
    from expand3d.training.peers import Peers

LOG, CHECKPOINT, BEST, SCORES = "train.jsonl", "checkpoint.pt", "best.safetensors", "training.json"
BOARD = "tensorboard"


@dataclass(frozen=True)
class Wanted:
    """The training that is wanted; `seed` is that of parts, weights and augmentation.

    `title` says which network that is. `known` is what a study's record says of its data, where
    the parts are to be the study's. `parent` is there where a trial began with its parent's
    weights. With `with_val` the validation part trains too, and no best weights are chosen. With
    `force` a folder that holds something else is taken.
    """

    title: str
    genotype: Genotype
    data: Data
    execution: Execution
    out: Path
    recipe: Recipe
    extras: Extras = PLAIN
    seed: int = 0
    init: str = SCRATCH
    parent: Parent | None = None
    with_val: bool = False
    every: int = 1
    keep_best: bool = False
    tensorboard: bool = False
    compiled: bool = False
    known: Mapping[str, Any] | None = None
    force: bool = False


@dataclass(frozen=True)
class Prepared:
    """Everything of a training that does not change while it runs."""

    plan: Plan
    clips: Clips
    bench: Bench
    val: tuple[int, ...]
    #: The part whose clips are scored in the end.
    part: str

    @property
    def job(self) -> Job:
        return self.bench.jobs[0]

    @property
    def shas(self) -> list[str]:
        """Hashes of all clips that train the weights, those before them included."""
        initial = self.bench.initial
        known = [sha[:16] for sha in self.clips.store.shas]
        before = initial.clips if initial is not None else frozenset()
        return sorted({*before, *(known[index] for index in self.job.train)})

    @property
    def measured_on(self) -> str:
        count = len(self.job.held_out)
        never = ", never used for choosing" if self.part == "test" else ""
        return f"{count} clips of the {self.part} part{never}" if count else "no clips"


def train_in_full(
    wanted: Wanted,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ExportedNetwork | None:
    """The trained network, which `wanted.out` holds by now; None where `stop` ended it.

    Of several processes that torchrun started the first alone has it. After a stop the folder holds
    the checkpoint from which the same call goes on. What is finished is not begun again.
    ExportError where the folder holds something else; UserError where the training gives nothing.
    """
    watch = watch or Watch()
    refuse_other_folder(wanted)
    from expand3d.training.checkpoint import STAYS
    from expand3d.training.peers import first_then_others, together

    with together() as peers:
        ready = first_then_others(peers, lambda: prepare_training(wanted, watch))
        if (wanted.out / NETWORK).is_file():
            return _finished(wanted, ready, watch)
        for title, line in plan_lines(wanted, ready):
            watch.note(f"{title:<9} {line}")
        try:
            training = _trained(wanted, ready, watch, stop, peers)
        except Interrupted as stopped:
            watch.note(str(stopped))
            return None
        except (OSError, FileError) as error:
            said = str(error) if isinstance(error, FileError) else f"{wanted.out}: {error}"
            raise FileError(said if said.endswith(STAYS) else f"{said}; {STAYS}") from None
        return _kept(wanted, ready, training) if peers.first else None


def refuse_other_folder(wanted: Wanted) -> None:
    """ExportError where the folder holds something that no such training has begun."""
    if not (wanted.out / LOG).is_file():
        refuse_occupied(wanted.out, force=wanted.force)
    refuse_unwritable(wanted.out)


def prepare_training(wanted: Wanted, watch: Watch) -> Prepared:
    """Read, split and decode the data, once network and weights are known to be legal."""
    from expand3d.training.peers import beside_here

    config, execution, recipe = wanted.data, wanted.execution, wanted.recipe
    family = get_family(wanted.genotype.family)
    shapes(family.resolve(wanted.genotype), recipe)  # ConfigError where it reads no smaller clips
    parent = wanted.parent
    initial = (
        parent.initial
        if parent is not None
        else find_initial(wanted.init, root=execution.root, storage=execution.storage)
    )
    videos = find_videos(config, watch)
    names = videos.manifest.class_names
    if recipe.flip and (note := mirror_note(names)):
        raise ConfigError(f"flip = true: {note}; set flip = false")
    plan = family.resolve(wanted.genotype, num_classes=len(names))
    if wanted.extras.rand_augment and not plan.sources <= {"frames"}:
        raise ConfigError(
            f"rand_augment changes colours and shapes of frames, and {plan.family} reads optical "
            "flow too; leave it out"
        )
    infos = videos.report.infos
    largest, frames = measures(videos, infos, config.fps)
    sizes = sizes_of(wanted.known, largest=largest, frames=frames, crop=plan.crop, recipe=recipe)
    form = sizes.form(plan, recipe)
    rule = RULE if wanted.known is None else wanted.known.get("split_rule", 1)
    clips = cut_clips(
        config, videos, sizes=sizes, form=form, seed=wanted.seed, watch=watch, rule=rule
    )
    if wanted.known is not None:
        refuse_changed_data(wanted.known, clips, study=wanted.title)
    parts = clips.parts
    for note in filter(None, (*parts.notes, too_few(clips.store, parts))):
        watch.note(note)
    tell_films(config, clips.store, parts.part_of(), watch, refuse=wanted.known is None)
    store: Any = clips.store
    threads = execution.threads or max(1, threads_for(execution) // beside_here())
    if not plan.sources <= {"frames"}:
        spec = config.flow_spec()
        of_flow = Form(sizes.flow_side(spec.short_side, form.side))
        of = sized_store(config, videos, sizes=sizes, form=of_flow, watch=watch)
        store = with_flow(
            clips.store, plan, spec, of=of, files=clips.flow, workers=threads, watch=watch
        )
    if parent is not None and wanted.known is not None:
        trained = (*parts.train, *parts.val)
        initial = parent.having_seen({store.keys[i]: store.shas[i][:16] for i in trained})
    train, val, held_out, part = _parts(parts, with_val=wanted.with_val)
    (job,) = make_jobs(
        train=train,
        val=held_out,
        folds=(),
        repeats=1,
        seed=int(digest(wanted.seed, "final")[:8], 16),
    )
    device = device_for(execution.device)
    if device == "cuda" and beside_here() > 1:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    bench = Bench(store, recipe, (job,), device, threads, clips.store.fingerprint, initial=initial)
    if initial is not None:
        known = [sha[:16] for sha in clips.store.shas]
        refuse_unfit(initial, plan, jobs=(job,), clips=known)
        initial.refuse_seen({known[index] for index in val})
        if unknown := unknown_clips(initial):
            watch.note(unknown)
    return Prepared(plan, clips, bench, val, part)


def _parts(
    parts: Splits, *, with_val: bool
) -> tuple[Sequence[int], tuple[int, ...], Sequence[int], str]:
    """The clips that train, those that validate, those that are scored, and the latters' part."""
    if with_val:
        return sorted((*parts.train, *parts.val)), (), parts.test, "test"
    if parts.test:
        return parts.train, parts.val, parts.test, "test"
    return parts.train, parts.val, parts.val, "validation"


def plan_lines(wanted: Wanted, ready: Prepared) -> list[tuple[str, str]]:
    """The facts that the training stands on, as pairs of a title and a line."""
    recipe, plan = wanted.recipe, ready.plan
    steps = recipe.steps_for(len(ready.job.train))
    extras = [f"{name} {value}" for name, value in wanted.extras.to_json().items() if value]
    first = [f"{p.frames}x{p.stride} at {p.crop}" for p in shapes(plan, recipe)[:-1]]
    extras += [f"clips first of {', '.join(first)} pixels (multigrid)"] if first else []
    passes = recipe.batch // recipe.bn_batch
    part = f" in {passes} passes of {recipe.bn_batch}" if passes > 1 else ""
    return [
        ("network", f"{wanted.title}: {plan.frames}x{plan.stride} frames, {plan.crop} pixels"),
        ("begins", wanted.init),
        ("data", f"{wanted.data.data}: {_counted(ready)}"),
        ("classes", training_clips(ready.clips.store, ready.job.train)),
        (
            "training",
            f"{recipe.profile}: {steps:,} steps of {recipe.batch} clips{part}, lr {recipe.lr:g}; "
            f"{ready.bench.device}, {ready.bench.threads} threads"
            + "".join(f", {extra}" for extra in extras if not extra.endswith(" none")),
        ),
    ]


def _counted(ready: Prepared) -> str:
    scored = f"{len(ready.job.held_out)} clips of the {ready.part} part are scored in the end"
    validate = f"{len(ready.val)} validate, " if ready.val else ""
    return f"{len(ready.job.train)} clips train, {validate}{scored}"


def _trained(
    wanted: Wanted, ready: Prepared, watch: Watch, stop: Callable[[], bool], peers: Peers
) -> Training:
    """The outcome of the training; UserError where it gives nothing."""
    from expand3d.training.board import Board, Logs
    from expand3d.training.checkpoint import discard
    from expand3d.training.full import Full
    from expand3d.training.progress import StepLog

    out = make_folder(wanted.out)
    board = Board(out / BOARD) if wanted.tensorboard and peers.first else None
    log = StepLog(out / LOG)
    validating = bool(ready.val)
    full = Full(
        extras=wanted.extras,
        val=ready.val,
        every=wanted.every,
        best=out / BEST if validating else None,
        keep_best=wanted.keep_best,
        log=Logs([log, *([board] if board else [])] if peers.first else []),
        peers=peers,
        compiled=wanted.compiled,
        told=(lambda row: None) if board is None else board.epoch,
    )
    training = train_once(
        ready.plan,
        ready.bench,
        ready.job,
        checkpoint=out / CHECKPOINT,
        stop=stop,
        on_progress=lambda progress: watch.training(None, progress),
        weights_out=out / WEIGHTS,
        full=full,
    )
    for note in training.notes:
        watch.note(note)
    if training.status != "ok":
        if training.status != "out of memory":  # which another device may go on from
            for path in (out / CHECKPOINT, out / BEST):
                discard(path)
        raise UserError(f"the training gave nothing: {training.status}: {training.reason}")
    return training


def _kept(wanted: Wanted, ready: Prepared, training: Training) -> ExportedNetwork:
    """The network with its description in the folder, which is finished by that."""
    from expand3d.training.checkpoint import discard

    out = wanted.out
    write_whole(out / SCORES, json.dumps(training.to_json()) + "\n")
    network = _network(wanted, ready, training)
    write_description(network, out, weights=WEIGHTS)
    discard(out / CHECKPOINT)
    return load_export(out)


def _network(wanted: Wanted, ready: Prepared, training: Training) -> ExportedNetwork:
    store, initial = ready.clips.store, ready.bench.initial
    scores: dict[str, Any] = {}
    if training.means is not None:
        scores[ready.part] = dataclasses.asdict(summary(training.means, training.by_class))
    if best := best_of(training):
        scores["best by validation, one view"] = best
    provenance = {
        "made_by": "expand3d train",
        "network": wanted.title,
        "begun_from": SCRATCH if initial is None else initial.sha,
        "belongs": _belongs(wanted, ready),
        "extras": wanted.extras.to_json(),
        "kept": "best" if wanted.keep_best and best else "last",
        "seed": wanted.seed,
        "data": {"source": wanted.data.data, "fingerprint": store.fingerprint},
        "measured_on": ready.measured_on,
        TRAINING_CLIPS: ready.shas,
        "environment": dict(training.environment),
        "session": dataclasses.asdict(Session.start()),
        "notes": list(training.notes),
        "log": LOG,
        **flow_facts(ready.plan, wanted.data.computed_flow()),
    }
    return ExportedNetwork(
        study=wanted.title,
        trial=0,
        genotype=wanted.genotype,
        plan=ready.plan,
        recipe=wanted.recipe.to_json(),
        target_fps=wanted.data.fps,
        classes=tuple(store.class_names),
        scores=scores,
        provenance=provenance,
    )


def best_of(training: Training) -> dict[str, float] | None:
    """The row of the curve with the best validation; None where nothing was validated."""
    rows = [row for row in training.curve if "val_top1" in row]
    if not rows:
        return None
    best = max(rows, key=lambda row: (row["val_top1"], -row["val_nll"], -row["epoch"]))
    return {"epoch": best["epoch"], "top1": best["val_top1"], "nll": best["val_nll"]}


def _belongs(wanted: Wanted, ready: Prepared) -> dict[str, str]:
    """The digests in which two calls agree that want the same training."""
    bench, store = ready.bench, ready.clips.store
    parts = [[store.keys[i] for i in part] for part in (ready.job.held_out, ready.val)]
    flow = [bench.store.spec.identity()] if isinstance(bench.store, FlowStore) else []
    begun = SCRATCH if bench.initial is None else bench.initial.sha
    return {
        "network": ready.plan.digest,
        "weights to begin with": begun,
        "recipe": digest(wanted.recipe.to_json(), wanted.extras.to_json(), wanted.keep_best),
        "seed": str(ready.job.seed),
        "data": digest(store.fingerprint, [store.keys[i] for i in ready.job.train], *parts, *flow),
    }


def _finished(wanted: Wanted, ready: Prepared, watch: Watch) -> ExportedNetwork:
    """The network in the folder; UserError where it is of another training."""
    kept = load_export(wanted.out)
    before, now = dict(kept.provenance.get("belongs", {})), _belongs(wanted, ready)
    other = [name for name, value in now.items() if before.get(name) != value]
    if other:
        raise FileError(
            f"{wanted.out} holds the result of another {', '.join(other)}; choose a new folder"
        )
    watch.note(f"{wanted.out} is finished; nothing is left to do")
    return kept
