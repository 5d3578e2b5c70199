"""The one loop: ask the strategy, train what the record cannot answer, record it, repeat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import StudyError
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import BASELINE, PARENT, Candidate, Trial
from expand3d.execute.base import Assignment
from expand3d.run.events import Overview, Watch
from expand3d.run.inherit import inherited, keep_those_that_may_be_parents
from expand3d.run.own_data import with_data
from expand3d.run.plan import forecast, planned_study
from expand3d.run.prepare import Prepared
from expand3d.run.recording import stop_early
from expand3d.run.runner import (
    Outcome,
    Part,
    create_record,
    executor,
    keep_growth,
    new_study,
    reopened,
)
from expand3d.search.expansion.confirm import agreement, pairs
from expand3d.search.strategy import Batch, Done, answers, drive
from expand3d.study.catalog import FINISHED
from expand3d.study.config import StudyConfig
from expand3d.study.failures import advice, to_retry
from expand3d.study.folder import resume_command
from expand3d.study.record import FINAL, Record

if TYPE_CHECKING:
    from expand3d.data.arrays import DataSet

WINNER_WEIGHTS = "winner.safetensors"
#: Why a trial that waits is stopped where the strategy has not said why.
NOT_ASKED_FOR = "the search ended before it was trained on"


def run_study(
    config: StudyConfig,
    *,
    data: DataSet | None = None,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[], bool] = lambda: True,
) -> Outcome | None:
    """Expand a network to `config.budget` in a new study; StudyError where the name is taken.

    `data` is a data set of the user's own, in place of files. `stop` is asked between batches of
    clips; once true, everything is on disk when this returns. `confirm` is asked after the plan was
    shown and before anything is trained; None where it says no.
    """
    watch = watch or Watch()
    config, contents = with_data(config, data)
    with new_study(config, watch, contents) as ready, executor(ready) as workers:
        watch.planned(forecast(ready))
        if not confirm():
            return None
        return Expanding(create_record(ready), ready, workers, watch, stop).go()


def plan_study(
    config: StudyConfig, *, data: DataSet | None = None, watch: Watch | None = None
) -> Overview:
    """The plan of what `run_study` would do; it leaves no study behind and few videos decoded."""
    watch = watch or Watch()
    plan = forecast(planned_study(*with_data(config, data), watch))
    watch.planned(plan)
    return plan


def resume_study(
    name: str,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    data: DataSet | None = None,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
    retry_failed: bool = False,
) -> Outcome:
    """Continue a study that was stopped or killed; budgets are totals, so nothing is repeated.

    `changes` are keys that may differ from here on (the data's path, the device), or that become
    larger (`budget`, `trials`): the study then goes on as one that began with them, and trains only
    what its record does not know. Any other is refused by name, and so is data whose content has
    changed. The plan of what is left comes first. `retry_failed` trains networks that failed once
    more, but for those that diverged; StudyError where there are none. `data` is the data set that
    the study was begun with; without it the clips in the cache have to do.
    """
    watch = watch or Watch()
    where: Mapping[str, Any] = {"root": root, "storage": storage, "changes": changes}
    with reopened(name, **where, watch=watch, data=data) as begun:
        record, ready = begun
        with executor(ready) as workers:
            again = _to_retry(record, watch) if retry_failed else ()
            _show_rest(record, ready, watch, again)
            keep_growth(record, ready, watch)
            part = Expanding(record, ready, workers, watch, stop)
            part.again = again
            return part.go()


def plan_resumed(
    name: str,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    data: DataSet | None = None,
    watch: Watch | None = None,
    retry_failed: bool = False,
) -> Overview:
    """The plan of what `resume_study` would do with the same arguments; nothing is changed.

    It has no rows where nothing is left to train.
    """
    watch = watch or Watch()
    where: Mapping[str, Any] = {"root": root, "storage": storage, "changes": changes}
    with reopened(name, **where, watch=watch, data=data, plan=True) as (record, ready):
        again = _to_retry(record, watch) if retry_failed else ()
        return _show_rest(record, ready, watch, again)


def _to_retry(record: Record, watch: Watch) -> tuple[Candidate, ...]:
    """The failed networks that are trained again; StudyError with advice where there are none."""
    found = to_retry(record.trials())
    if not found:
        why = _advice(record) or "no network failed"
        raise StudyError(f"study {record.name!r} has nothing to train again: {why}")
    networks = "1 network" if len(found) == 1 else f"{len(found)} networks"
    watch.note(f"trained again: {networks} that failed")
    return tuple(trial.candidate for trial in found)


def _advice(record: Record) -> str | None:
    """Advice about the networks that failed; None where there are none."""
    config = record.config()
    resume = resume_command(record.name, root=config.root, storage=config.storage)
    return advice(record.trials(), resume=resume)


def _show_rest(
    record: Record, ready: Prepared, watch: Watch, again: Sequence[Candidate] = ()
) -> Overview:
    """The plan of what a study has left to do, what its record answers not counted.

    Networks trained `again` are counted.
    """
    trials = record.trials()
    plan = forecast(ready, trials, last=record.last_trained(), again=again)
    if plan.steps or plan.final:
        known = answers(trials).keys() - {candidate.digest for candidate in again}
        count = f"{len(known)} networks, which are not counted below"
        plan = dataclasses.replace(plan, lines=(*plan.lines, ("recorded", count)))
        watch.planned(plan)
    elif isinstance(ended := ready.strategy.ask(trials), Done):
        watch.note(f"nothing is left to train: {ended.reason}")
    return plan


class Expanding(Part):
    """The expansion, and the last training of its winner."""

    part = "search"
    #: Networks that failed and are trained once more, before the search goes on.
    again: tuple[Candidate, ...] = ()

    def work(self) -> str:
        if self.again:
            self.answer(self.again)
        self._search()
        self._confirm()
        self.train_winner()
        return FINISHED

    def counts(self, trial: Trial) -> bool:
        return trial.candidate.role != BASELINE

    def _search(self) -> None:
        """Ask and answer until the strategy is done."""
        shown = 0

        def look(batch: Batch) -> None:
            nonlocal shown
            shown = self.tell_decisions(shown)
            known = answers(self.record.trials(), batch.visits)
            done = [known[c.digest] for c in batch.candidates if c.digest in known]
            self.watch.step(batch.candidates, done)

        ended = drive(
            self.ready.strategy,
            self.record.trials,
            self.answer,
            look,
            self.measure,
            advance=self.answer,
            stop=self._stop_all,
        )
        self.tell_decisions(shown)
        begun = self.left_over()
        for trial in begun:
            if trial.reached:
                self.stop_early(trial.candidate, NOT_ASKED_FOR)
        if rest := [trial.candidate for trial in begun if not trial.reached]:
            self.answer(rest)
        self.watch.note(f"search done: {ended.reason}")

    def _confirm(self) -> None:
        """Train the two best of each step from scratch, where the study wants that."""
        if not self.ready.config.confirm:
            return
        steps, known = self.ready.strategy.steps(self.record.trials()), self.record.trials()
        both = {c.digest: c for pair in pairs(steps) for c in (pair.best, pair.runner_up)}
        self.answer([c for digest, c in both.items() if digest not in answers(known)])
        if told := agreement(steps, self.record.trials(), self.ready.strategy.metric):
            self.watch.note(told)

    def left_over(self) -> list[Trial]:
        """Trials that run though the strategy is done.

        Those begun for a smaller budget are finished, so that nothing is lost. Those that wait
        after a part of their training are stopped.
        """
        return [t for t in self.record.trials() if t.state == "running" and self.counts(t)]

    def stop_early(self, candidate: Candidate, reason: str) -> None:
        """End the trial of a candidate, if it still runs, with the reason."""
        if trial := self.record.running(candidate.digest):
            stop_early(self.record, trial.number, reason, self.watch)

    def _stop_all(self, candidates: Sequence[Candidate], reason: str) -> None:
        for candidate in candidates:
            self.stop_early(candidate, reason)

    def tell_decisions(self, shown: int) -> int:
        """Keep and show what each newly finished step has chosen; how many steps have been."""
        steps = self.ready.strategy.steps(self.record.trials())
        decided = [step for step in steps if not step.pending]
        for step in decided[shown:]:
            key = f"step/{step.offer.step}"
            kept = {"text": step.text, **(step.choice.to_json() if step.choice else {})}
            if self.record.attribute(key) != kept:
                self.record.set_attribute(key, kept)
            self.watch.decided(step.offer.step, step.text)
        if self.ready.config.init == PARENT and decided[shown:]:
            keep_those_that_may_be_parents(self.record, decided)
        return len(decided)

    def untrained_winner(self) -> Trial | None:
        """The result, where it has to be trained once more; StudyError where there is none."""
        winner = self.ready.strategy.result(self.record.trials())
        if winner is None:
            told = _advice(self.record)
            raise StudyError(
                f"no network was trained within {self.ready.budget.text}"
                f"{f': {told}' if told else ''}"
            )
        trained = self.record.last_trained() == winner.number
        return None if trained or not self.ready.config.final else winner

    def train_winner(self) -> None:
        """Train the result once more on everything but the test part, and keep its weights.

        StudyError where that fails: unlike a candidate it has to be had, so resuming tries again.
        """
        winner = self.untrained_winner()
        if winner is None:
            return
        before = self.record.final()
        if before and before["trial"] != winner.number:  # a smaller budget's winner
            self.record.set_attribute(f"{FINAL}/{before['trial']}", before)
        name = self._weights_of_last(winner)
        training = self._last_training(winner.candidate, name)
        self.record.set_final(
            {
                "trial": winner.number,
                "training": training.to_json(),
                "recipe": self.ready.final.recipe.to_json(),
                "seed": self.ready.final.jobs[0].seed,
                "test_clips": len(self.ready.final.jobs[0].held_out),
                "weights": name if training.status == "ok" else None,
            }
        )
        if training.status != "out of memory":  # which another device may go on from
            self._clear_checkpoints()
        self.watch.final(training)
        if training.status != "ok":
            config = self.ready.config
            resume = resume_command(config.name, root=config.root, storage=config.storage)
            raise StudyError(
                f"the winner's last training gave nothing: {training.status}: {training.reason}; "
                f"{resume} tries again"
            )

    def _weights_of_last(self, winner: Trial) -> str:
        """Name of the winner's weights; those of a smaller budget's winner stay."""
        others = (
            self.record.attribute(f"{FINAL}/{trial.number}")
            for trial in self.record.trials()
            if trial.number != winner.number
        )
        taken = any(kept and kept["weights"] == WINNER_WEIGHTS for kept in others)
        return f"winner-{winner.number}.safetensors" if taken else WINNER_WEIGHTS

    def _last_training(self, candidate: Candidate, weights: str) -> Training:
        folder, plan = self.record.folder, candidate.plan
        bench = self.bench(plan, self.ready.final)
        assignment = Assignment(
            None,
            candidate,
            done={},
            checkpoints=folder.checkpoints.resolve(),
            identity=bench.identity(plan, candidate.start),
            weights=folder.weights.resolve() / weights,
            # As it did in the search. What its parent saw is in the training part here too.
            inherited=inherited(
                self.record, candidate, bench.store, [(bench.jobs[0].key, self.ready.bench.jobs[0])]
            ),
        )
        last = _Last(self.watch)
        self.executor.run(iter([(assignment, bench)]), last, self.stop)
        if last.training is None:
            raise StudyError(f"the winner's last training gave nothing: {last.failure}")
        return last.training

    def _clear_checkpoints(self) -> None:
        """Only baselines that were interrupted have something left to be continued."""
        running = {str(t.number) for t in self.record.trials() if t.state == "running"}
        for path in self.record.folder.checkpoints.iterdir():
            if path.name.partition("-")[0] not in running:
                path.unlink(missing_ok=True)


class _Last:
    """Keeps what the winner's last training gave."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.training: Training | None = None
        self.failure: str | None = None

    def note(self, text: str) -> None:
        self._watch.note(text)

    def progress(self, assignment: Assignment, progress: Any) -> None:
        self._watch.training(None, progress)

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        self.training = training

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        self.failure = failure
