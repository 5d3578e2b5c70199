"""The one loop: ask the strategy, train what the record cannot answer, record it, repeat."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.errors import StudyError, UserError
from expand3d.evaluate import Bench, Job, evaluate, train_once
from expand3d.families import get_family, plan_from_json
from expand3d.forecast import forecast
from expand3d.prepare import Prepared, prepare, refuse_changed_data
from expand3d.search.base import Batch, answers, drive
from expand3d.search.saved import strategy_from_json, strategy_to_json
from expand3d.study.config import StudyConfig, check_resume
from expand3d.study.folder import made_up_name, resume_command, study_folder, study_names
from expand3d.study.listing import FINISHED
from expand3d.study.lock import StudyLock
from expand3d.study.record import DATA, STRATEGY, Record
from expand3d.study.session import versions
from expand3d.study.trial import Candidate, Trial
from expand3d.study.units import parse_duration
from expand3d.train.result import Interrupted, Training
from expand3d.watch import Watch

STOPPED = "interrupted"
TIME_LIMIT = "time limit"
WINNER_WEIGHTS = "winner.safetensors"


@dataclass(frozen=True)
class Outcome:
    """Which study a run drove, and how it ended: "finished", "interrupted" or "time limit"."""

    name: str
    root: str
    storage: str | None
    reason: str
    time_limit: str | None = None

    @property
    def finished(self) -> bool:
        return self.reason == FINISHED

    @property
    def resume(self) -> str:
        """The command that goes on where something is left to do, past a spent time limit too."""
        command = resume_command(self.name, root=self.root, storage=self.storage)
        if self.reason == TIME_LIMIT and self.time_limit is not None:
            command += f" --time-limit {2 * parse_duration(self.time_limit):g}s"
        return command


def run_study(
    config: StudyConfig,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[], bool] = lambda: True,
) -> Outcome | None:
    """Expand a network to `config.budget` in a new study; StudyError where the name is taken.

    `stop` is asked between batches of clips; once true, everything is on disk when this returns.
    `confirm` is asked after the plan was shown and before anything is trained; None where it says
    no.
    """
    watch = watch or Watch()
    name = config.name or made_up_name(study_names(config.root))
    config = dataclasses.replace(config, name=name).absolute()
    folder = study_folder(name, config.root)
    with StudyLock(folder.make()):
        Record.refuse_existing(config)
        ready = prepare(config, watch)
        watch.planned(forecast(ready))
        if not confirm():
            return None
        began = {DATA: ready.identity(), STRATEGY: strategy_to_json(ready.strategy)}
        record = Record.create(ready.config, attributes=began)
        return _Run(record, ready, watch, stop).go()


def resume_study(
    name: str,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Continue a study that was stopped or killed; budgets are totals, so nothing is repeated.

    `changes` are keys that may differ from here on (the data's path, the device); any other is
    refused by name, and so is data whose content has changed.
    """
    watch = watch or Watch()
    record = Record.open(name, root=root, storage=storage)
    with StudyLock(record.folder.make()):
        record = Record.open(name, root=root, storage=storage)  # nobody writes from here on
        before = record.config()
        config = dataclasses.replace(before, root=str(root), storage=storage, **(changes or {}))
        check_resume(before, config)
        ready = prepare(config.absolute(), watch)
        refuse_changed_data(record.attribute(DATA), ready)
        ready = dataclasses.replace(ready, strategy=strategy_from_json(record.attribute(STRATEGY)))
        return _Run(record, ready, watch, stop).go()


class _Run:
    """One process's part of a study, under its lock."""

    def __init__(
        self, record: Record, ready: Prepared, watch: Watch, stop: Callable[[], bool]
    ) -> None:
        self.record, self.ready, self.watch = record, ready, watch
        self._stop = stop
        # Budgets are totals: what earlier processes trained counts too.
        trainings = [t for trial in record.trials() for t in trial.trainings.values()]
        spent = sum(training.seconds for training in trainings)
        limit = ready.config.time_limit
        left = None if limit is None else parse_duration(limit) - spent
        self._deadline = None if left is None else time.monotonic() + left

    def stop(self) -> bool:
        return self._stop() or self._overdue()

    def _overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def go(self) -> Outcome:
        session = self.record.start_session()
        reason = "failed"
        try:
            self.record.settle()
            self._search()
            self._train_winner()
            reason = FINISHED
        except Interrupted:
            reason = TIME_LIMIT if self._overdue() and not self._stop() else STOPPED
        except UserError as error:
            reason = str(error)
            raise
        finally:
            self.record.stop_session(session, reason)
        config = self.ready.config
        assert config.name is not None
        return Outcome(config.name, config.root, config.storage, reason, config.time_limit)

    def _search(self) -> None:
        """Ask and answer until the strategy is done."""
        shown = 0

        def look(batch: Batch) -> None:
            nonlocal shown
            shown = self._tell_decisions(shown)
            known = answers(self.record.trials())
            done = [known[c.digest] for c in batch.candidates if c.digest in known]
            self.watch.step(batch.candidates, done)

        ended = drive(self.ready.strategy, self.record.trials, self._answer, look)
        self._tell_decisions(shown)
        self.watch.note(f"expansion done: {ended.reason}")

    def _tell_decisions(self, shown: int) -> int:
        """Keep and show what each newly finished step has chosen; how many steps have been."""
        steps = self.ready.strategy.steps(self.record.trials())
        decided = [step for step in steps if not step.pending]
        for step in decided[shown:]:
            key = f"step/{step.offer.step}"
            kept = {"text": step.text, **(step.choice.to_json() if step.choice else {})}
            if self.record.attribute(key) != kept:
                self.record.set_attribute(key, kept)
            self.watch.decided(step.offer.step, step.text)
        return len(decided)

    def _answer(self, candidate: Candidate) -> None:
        """Train one candidate, or go on with it where a killed process left it."""
        begun = self.record.find(candidate.digest)
        trial = begun if begun is not None and begun.state == "running" else self._begin(candidate)
        if self.stop():
            raise Interrupted("stopped between two candidates")
        plan = plan_from_json(candidate.plan)
        bench = self.ready.bench
        folder, number = self.record.folder, trial.number

        def checkpoint(job: Job) -> Path:
            return folder.checkpoints / f"{number}-{job.key.replace('/', '-')}.pt"

        def on_progress(progress: Any) -> None:
            self.watch.training(candidate, progress)

        try:
            for job, training in evaluate(
                plan,
                bench,
                done=trial.trainings,
                checkpoint=checkpoint,
                stop=self.stop,
                on_progress=on_progress,
            ):
                self.record.put_training(number, job.key, training)
                _discard(checkpoint(job))
            trial = self.record.trial(number)
            failed = [t for t in trial.trainings.values() if t.status != "ok"]
            if failed:
                reason = f"{failed[0].status}: {failed[0].reason}"
                trial = self.record.finish(number, "failed", reason)
            else:
                trial = self.record.finish(number, "complete")
        except (Interrupted, UserError, KeyboardInterrupt):
            raise
        except Exception as error:  # a candidate that breaks must not take the run with it
            trial = self.record.finish(number, "failed", f"{type(error).__name__}: {error}")
        self.watch.finished(trial)

    def _begin(self, candidate: Candidate) -> Trial:
        family = get_family(candidate.genotype.family)
        plan = plan_from_json(candidate.plan)
        provenance = {
            "identity": self.ready.bench.identity(plan),
            "data": self.ready.store.fingerprint,
            "recipe": self.ready.bench.recipe.to_json(),
            "seed": self.ready.config.seed,
            "device": self.ready.bench.device,
            "threads": self.ready.bench.threads,
            "versions": versions(),
        }
        ranges = {name: (factor.low, factor.high) for name, factor in family.factors.items()}
        cost = family.cost(plan).totals()
        number = self.record.begin(candidate, cost, provenance, ranges=ranges)
        return self.record.trial(number)

    def _train_winner(self) -> None:
        """Train the result once more on everything but the test part, and keep its weights."""
        winner = self.ready.strategy.result(self.record.trials())
        if winner is None:
            raise StudyError(f"no network was trained within {self.ready.budget.text}")
        before = self.record.final()
        if not self.ready.config.final or (before and before["trial"] == winner.number):
            return
        if self.stop():
            raise Interrupted("stopped before the winner's last training")
        plan = plan_from_json(winner.candidate.plan)
        training = self._last_training(plan, self.ready.final)
        weights = self.record.folder.weights / WINNER_WEIGHTS
        self.record.set_final(
            {
                "trial": winner.number,
                "training": training.to_json(),
                "recipe": self.ready.final.recipe.to_json(),
                "seed": self.ready.final.jobs[0].seed,
                "test_clips": len(self.ready.final.jobs[0].held_out),
                "weights": weights.name if training.status == "ok" else None,
            }
        )
        shutil.rmtree(self.record.folder.checkpoints, ignore_errors=True)
        self.watch.final(training)

    def _last_training(self, plan: Any, bench: Bench) -> Training:
        folder = self.record.folder
        return train_once(
            plan,
            bench,
            bench.jobs[0],
            checkpoint=folder.checkpoints / f"final-{plan.digest}.pt",
            stop=self.stop,
            on_progress=lambda progress: self.watch.training(None, progress),
            weights_out=folder.weights / WINNER_WEIGHTS,
        )


def _discard(checkpoint: Path) -> None:
    from expand3d.train.checkpoint import discard

    discard(checkpoint)
