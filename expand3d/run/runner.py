"""One process's part of a study: under its lock, in a session, the only one that records."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from expand3d.core.errors import StudyError, UserError
from expand3d.core.genotype import Plan
from expand3d.core.result import Interrupted
from expand3d.core.trial import BASELINE, PARENT, SCRATCH, Candidate, Trial
from expand3d.core.units import Duration
from expand3d.data.contents import Contents
from expand3d.data.source import OWN
from expand3d.data.splits import RULE
from expand3d.execute import get_executor
from expand3d.execute.base import Assignment, Executor, Setting
from expand3d.execute.evaluate import Bench
from expand3d.measure.latency import measure_latency
from expand3d.measure.table import read_table
from expand3d.networks import get_family
from expand3d.run.alone import alone
from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.extend import growth
from expand3d.run.facts import told
from expand3d.run.inherit import inherited, weights_of_trials
from expand3d.run.initial import refuse_other, to_json
from expand3d.run.own_data import known_data
from expand3d.run.prepare import Prepared, prepare
from expand3d.run.prepare.data import refuse_changed_data
from expand3d.run.recording import Recording
from expand3d.run.time_limit import WorkTime, trained_seconds
from expand3d.search.strategies import (
    strategy_from_json,
    strategy_to_json,
    with_latencies,
)
from expand3d.search.strategy import Strategy
from expand3d.study.catalog import FINISHED
from expand3d.study.changes import check_resume, continued
from expand3d.study.claims import ClaimLost
from expand3d.study.config import NamedConfig, StudyConfig
from expand3d.study.database import refuse_unmakeable
from expand3d.study.folder import (
    begun_whole,
    made_up_name,
    resume_command,
    study_folder,
    study_names,
)
from expand3d.study.lock import StudyLock
from expand3d.study.record import DATA, INITIAL, LATENCY, STRATEGY, Record
from expand3d.study.session import versions

if TYPE_CHECKING:
    from expand3d.data.arrays import DataSet

STOPPED = "interrupted"
TIME_LIMIT = "time limit"


@dataclass(frozen=True)
class Outcome:
    """The study that a run drove, and its end: "finished", "interrupted" or "time limit"."""

    name: str
    root: str
    storage: str | None
    reason: str
    time_limit: Duration | None = None

    @property
    def finished(self) -> bool:
        return self.reason == FINISHED

    @property
    def resume(self) -> str:
        """The command that goes on where something is left to do, past a spent time limit too."""
        command = resume_command(self.name, root=self.root, storage=self.storage)
        if self.reason == TIME_LIMIT and self.time_limit is not None:
            command += f" --time-limit {2 * self.time_limit.seconds:g}s"
        return command


@contextmanager
def new_study(
    config: StudyConfig, watch: Watch, contents: Contents | None = None
) -> Iterator[Prepared]:
    """A new study, prepared, while its lock is held; StudyError where the name is taken.

    `contents` stand for the files that the configuration names.
    """
    named = named_config(config)
    with begun_whole(study_folder(named.name, config.root)) as folder, StudyLock(folder):
        Record.refuse_existing(named)
        if named.storage is not None:
            refuse_unmakeable(named.storage)
        yield told(prepare(named, watch, contents=contents), watch)


def named_config(config: StudyConfig) -> NamedConfig:
    """The configuration with a name, made up where it has none, and with absolute paths."""
    name = config.name or made_up_name(study_names(config.root))
    return config.called(name).absolute()


def create_record(ready: Prepared) -> Record:
    """The record of a new study, which knows its data and its strategy from the beginning."""
    data = {**ready.clips.identity(), "split_rule": RULE}
    if ready.config.score_test:  # whoever reads the scores has to tell them apart
        data["test"] = [ready.store.keys[clip] for clip in ready.clips.parts.test]
    began = {
        DATA: data,
        STRATEGY: strategy_to_json(ready.strategy, ready.config.strategy),
        **{f"{LATENCY}/{name}": latency.to_json() for name, latency in ready.latencies.items()},
    }
    # What machines without the videos, or processes without the data set, need.
    shared = ready.config.storage is not None or ready.config.data.startswith(OWN)
    contents = Contents.of(ready.store, ready.report).to_json() if shared else None
    if ready.bench.initial is not None:
        began[INITIAL] = to_json(ready.bench.initial)
    return Record.create(ready.config, attributes=began, contents=contents)


@contextmanager
def reopened(
    name: str,
    *,
    root: str | Path,
    storage: str | None,
    changes: Mapping[str, Any] | None,
    watch: Watch,
    plan: bool = False,
    data: DataSet | None = None,
) -> Iterator[tuple[Record, Prepared]]:
    """The record of a study that is there and what it stands on, while its lock is held.

    For a `plan` few videos are decoded, and none of them into the cache. `data` is the data set of
    a study that was made with one. What `changes` extend is not in the record before `keep_growth`.
    """
    record = Record.open(name, root=root, storage=storage)
    with StudyLock(record.folder.make()), alone(record):
        record.refresh()  # nobody else writes from here on
        before = record.config()
        config = continued(before, {"root": str(root), "storage": storage, **(changes or {})})
        check_resume(before, config)
        growth(before, config)  # refuses what becomes less, before any data is read
        contents = known_data(record, data)
        strategy, ready = prepared_again(record, config, watch, contents, plan=plan)
        yield record, dataclasses.replace(ready, strategy=strategy.extended(ready.strategy))


def keep_growth(record: Record, ready: Prepared, watch: Watch) -> None:
    """Write into the record by what a reopened study was extended, if it was."""
    if grown := growth(record.config(), ready.config):
        record.extend(grown)
        watch.note(f"extended: {', '.join(f'{key} {value}' for key, value in grown.items())}")
    # Told apart from `grown`: a process may have died between the two writes.
    kept = strategy_from_json(record.attribute(STRATEGY), known=record.latency)
    if ready.strategy != kept:
        record.set_attribute(STRATEGY, strategy_to_json(ready.strategy, ready.config.strategy))


def prepared_again(
    record: Record,
    config: NamedConfig,
    watch: Watch,
    contents: Contents | None = None,
    *,
    plan: bool = False,
) -> tuple[Strategy, Prepared]:
    """The strategy as recorded, and what the study stands on here; StudyError on other data."""
    data = record.attribute(DATA)
    strategy = strategy_from_json(record.attribute(STRATEGY), known=record.latency)
    ready = prepare(
        config.absolute(),
        watch,
        known=record.latency,
        start=strategy.start,
        began=data,
        contents=contents,
        plan=plan,
    )
    refuse_changed_data(data, ready.clips, study=config.name)
    refuse_other(record.attribute(INITIAL), ready.bench.initial)
    return strategy, told(ready, watch)


def executor(ready: Prepared) -> Executor:
    """The executor that trains the candidates of a study, by its configuration."""
    config = ready.config
    setting = Setting(
        folder=study_folder(config.name, config.root).path.resolve(),
        workers=config.at_a_time,
        threads=ready.bench.threads,
        device=ready.bench.device,
        devices=config.devices,
        address=config.address,
    )
    return get_executor(config.executor, setting)


class Part(ABC):
    """One process's part of a study, under its lock; what is to be done is a subclass's `work`."""

    #: What the part is called where the record adds up its time.
    part: ClassVar[str]

    def __init__(
        self,
        record: Record,
        ready: Prepared,
        executor: Executor,
        watch: Watch,
        stop: Callable[[], bool],
    ) -> None:
        strategy = with_latencies(ready.strategy, record.latency)
        self.record, self.watch = record, watch
        self.ready = dataclasses.replace(ready, strategy=strategy)
        self.executor = executor
        self._stop = stop
        self._clips = ClipsOf(self.ready, watch)
        self.time: WorkTime | None = None  # until the session begins

    @abstractmethod
    def work(self) -> str:
        """Do what is left to do; the reason with which the session ends."""

    @abstractmethod
    def counts(self, trial: Trial) -> bool:
        """True where this part of the study trains such trials."""

    def stop(self) -> bool:
        if self.time is not None:
            self.time.tick()
        return self._stop() or self._overdue()

    def _overdue(self) -> bool:
        return self.time is not None and self.time.overdue

    def go(self) -> Outcome:
        with alone(self.record):
            return self.session()

    def begin_session(self) -> int:
        """Number of this process's session, now in the record, and its time begins.

        Budgets are totals: the time of earlier processes counts too.
        """
        number, limit = self.record.start_session(), self.ready.config.time_limit
        self.time = WorkTime(
            self.record,
            number,
            part=self.part,
            before=trained_seconds([t for t in self.record.trials() if self.counts(t)]),
            limit=None if limit is None else limit.seconds,
        )
        return number

    def session(self) -> Outcome:
        """Do what is left to do, and keep how that ended."""
        session = self.begin_session()
        reason = "failed"
        try:
            self.record.settle()
            reason = self.work()
        except ClaimLost as lost:
            reason = str(lost)
            raise StudyError(f"study {self.record.name!r} was taken over: {lost}") from None
        except Interrupted:
            reason = TIME_LIMIT if self._overdue() and not self._stop() else STOPPED
        except UserError as error:
            reason = str(error)
            raise
        finally:
            assert self.time is not None, "begun with the session"
            self.time.keep()
            self.record.stop_session(session, reason)
        config = self.ready.config
        return Outcome(config.name, config.root, config.storage, reason, config.time_limit)

    def bench(self, plan: Plan, bench: Bench | None = None) -> Bench:
        """A bench, the candidates' by default, with the clips that the network reads."""
        return self._clips.bench(plan, bench)

    def measure(self, plan: Plan) -> None:
        """Measure the latency of a network, while nothing trains, and keep it in the record."""
        if self.stop():
            raise Interrupted("stopped before a measurement")
        clock = self.ready.strategy.price.clock
        assert clock is not None, "only a limit of latency needs measurements"
        config = self.ready.config
        latency = (
            read_table(config.latencies, clock.device).latency(plan)
            if config.latencies
            else measure_latency(
                plan, device=clock.device, threads=clock.threads, flow=config.flow_spec()
            )
        )
        before = {known.hardware for known in self.record.latencies()}
        if before - {latency.hardware}:
            raise StudyError(
                f"study {self.record.name!r} has latencies of {', '.join(sorted(before))}, which "
                f"those of {latency.hardware} here cannot be compared with; resume it there"
            )
        self.record.put_latency(plan, latency)
        self.watch.measured(plan, latency)

    def priced(self, candidate: Candidate) -> Candidate:
        """The candidate with what it costs in this study; its latency is measured if need be."""
        price = self.ready.strategy.price
        plan = candidate.plan
        if price.clock is not None and self.record.latency(plan) is None:
            self.measure(plan)
        return dataclasses.replace(candidate, **price.fields(plan))

    def answer(self, candidates: Sequence[Candidate], visits: int | None = None) -> None:
        """Train the candidates, or go on with them where a batch or a killed process left them.

        After `visits` clip visits they are tested and wait; without, they are trained to the end.
        """
        listener = Recording(self.record, self.watch)
        self.executor.run(self._assignments(candidates, visits), listener, self.stop)

    def _assignments(
        self, candidates: Sequence[Candidate], visits: int | None
    ) -> Iterator[tuple[Assignment, Bench]]:
        """A begun trial for each candidate; begun when asked for, so that numbers keep the order.

        A trial that nobody works on yet should not be in the record.
        """
        for candidate in candidates:
            plan = candidate.plan
            bench = self.bench(plan).only(candidate.repeat)
            # First: a trial whose weights are gone, or another's, is not to begin.
            jobs = ((job.key, job) for job in bench.jobs)
            begins = inherited(self.record, candidate, bench.store, jobs)
            begun = self.record.running(candidate.digest) or self._begin(candidate, bench)
            assignment = Assignment(
                begun.number,
                candidate,
                done=begun.trainings,
                checkpoints=self.record.folder.checkpoints.resolve(),
                identity=bench.identity(plan, candidate.start),
                visits=visits,
                # Nobody begins as a training was on its way.
                kept=weights_of_trials(self.record)
                if visits is None and self.keeps_weights(candidate)
                else None,
                inherited=begins,
            )
            yield assignment, bench

    def keeps_weights(self, candidate: Candidate) -> bool:
        """True where the weights of a candidate's trainings stay: others may begin with them."""
        return self.ready.config.init == PARENT and candidate.role != BASELINE

    def _begin(self, candidate: Candidate, bench: Bench) -> Trial:
        family = get_family(candidate.genotype.family)
        plan = candidate.plan
        config = self.ready.config
        provenance = {
            "identity": bench.identity(plan, candidate.start),
            "start": bench.start(plan) if candidate.start == SCRATCH else candidate.start,
            "data": self.ready.store.fingerprint,
            "recipe": bench.recipe.to_json(),
            "seed": config.seed,
            "device": ",".join(config.devices) or bench.device,
            "threads": bench.threads,
            "executor": config.executor,
            "workers": config.side_by_side,
            "versions": versions(),
            "predicted_memory": bench.memory(plan),
        }
        ranges = {name: (factor.low, factor.high) for name, factor in family.factors.items()}
        cost = family.cost(plan).totals()
        number = self.record.begin(candidate, cost, provenance, ranges=ranges)
        return self.record.trial(number)
