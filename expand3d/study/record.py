"""The record of a study: every candidate a trial, kept as one JSON attribute in an Optuna study.

A trial's attribute is written before Optuna is told that the trial finished, so the attribute is
the truth and Optuna's state follows it: a reader needs no other source, and `settle` repeats what
a crash cut off. Each write is one transaction. One process writes, under the study's lock; or
several do, each to the trials that it has claimed, and read again before they decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from expand3d.core.errors import StudyError, nearest
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import Candidate, State, Trial, summarise
from expand3d.study import database as backend
from expand3d.study.claims import Claims
from expand3d.study.config import NamedConfig
from expand3d.study.damaged import reading
from expand3d.study.database import Database, is_missing
from expand3d.study.encoding import decode_trial, encode_trial, without_nan
from expand3d.study.folder import (
    DEFAULT_ROOT,
    StudyFolder,
    find_study,
    resume_command,
    study_folder,
)
from expand3d.study.session import Session, now
from expand3d.study.strategy_keys import without_unused

#: The trial attribute that holds everything, and the attributes of the study.
TRIAL = "trial"
CONFIG = "config"
FINAL = "final"
SESSION = "session"
#: The seconds of the session with the number that follows.
WORKED = "worked"
#: What was measured of the network with the digest that follows.
LATENCY = "latency"
#: Which data the study began with, and the strategy with the limits that the data set it.
DATA = "data"
#: The weights that trainings begin with, where they do not begin from scratch.
INITIAL = "initial"
STRATEGY = "strategy"
#: What the data holds, for machines without the videos. Long, and therefore not read with the rest.
CONTENTS = "expand3d:contents"
#: The published networks that take part: the digest of each by its name.
BASELINES = "baselines"
#: Which keys of the configuration have grown on the way, each time with when.
EXTENSIONS = "extensions"
#: Why a trial that has no result here was finished all the same.
FOREIGN = "finished from outside expand3d, without a result"


class Record:
    """The trials of one study, read when opened or refreshed, in step with our own writes."""

    def __init__(
        self, storage: Database, study: int, folder: StudyFolder, *, url: str | None
    ) -> None:
        self.folder = folder
        self._url = url
        self._storage = storage
        self._study = study
        #: Who works on what, where several processes take part.
        self.claims = Claims(storage, study, folder.name)
        self.refresh()

    @classmethod
    def create(
        cls,
        config: NamedConfig,
        *,
        attributes: Mapping[str, Any] | None = None,
        contents: Mapping[str, Any] | None = None,
    ) -> Record:
        """A new record without trials; StudyError with the resume command where the study is there.

        Call it under the study's lock. The record counts as made once
        its configuration is in, which comes last: whoever opens it finds the rest too.
        """
        folder = study_folder(config.name, config.root).make()
        storage = Database(folder, config.storage)
        _refuse_existing(storage, config)
        optuna = storage.optuna
        with backend.writing(config.name):
            study = backend.make_study(optuna, config.name)
            for key, value in (attributes or {}).items():
                optuna.set_study_user_attr(study, key, without_nan(value))
            if contents is not None:
                optuna.set_study_system_attr(study, CONTENTS, dict(contents))
            optuna.set_study_user_attr(study, CONFIG, config.absolute().to_json())
        return cls(storage, study, folder, url=config.storage)

    @classmethod
    def refuse_existing(cls, config: NamedConfig) -> None:
        """StudyError with the resume command where the study is there; writes nothing."""
        folder = study_folder(config.name, config.root)
        if folder.database.exists() if config.storage is None else not is_missing(config.storage):
            _refuse_existing(Database(folder, config.storage), config)

    @classmethod
    def open(
        cls, name: str, *, root: str | Path = DEFAULT_ROOT, storage: str | None = None
    ) -> Record:
        """The record of a study that is there; StudyError names the nearest where it is not.

        Reading needs no lock. A driver holds the lock and calls `settle`.
        """
        folder = find_study(name, root) if storage is None else study_folder(name, root)
        opened = Database(folder, storage)
        study = opened.study(name)
        if study is None:
            names = opened.names()
            hint = nearest(name, names) if names else ""
            raise StudyError(f"the storage holds no study {name!r}{hint}")
        record = cls(opened, study, folder, url=storage)
        if CONFIG not in record._attributes:
            raise StudyError(
                f"study {name!r} was not started by expand3d, or killed while it started; "
                "start it again with expand3d run"
            )
        return record

    def refresh(self) -> None:
        """Read again, to know what other processes have written."""
        self._attributes: dict[str, Any] = self._storage.attributes(self._study)
        self._trials: dict[int, Trial] = {}
        self._ids: dict[int, int] = {}
        self._untold: list[int] = []
        self._count = 0
        for row in self._storage.trials(self._study, TRIAL):
            self._count = max(self._count, row.number + 1)
            if row.attribute is None:  # added with other tools; not ours to judge
                continue
            with reading(self.name, f"trial {row.number}"):
                trial = decode_trial({**row.attribute, "number": row.number})
            if row.finished and trial.state == "running":
                trial = replace(trial, state="failed", reason=FOREIGN)
            elif not row.finished and trial.state != "running":
                self._untold.append(row.number)
            self._keep(trial, row.identifier)

    def _keep(self, trial: Trial, identifier: int) -> None:
        self._trials[trial.number] = trial
        self._ids[trial.number] = identifier

    def _writing(self) -> AbstractContextManager[None]:
        """Context of a write, whose refusal names the command that continues the study."""
        root = self.folder.path.parent
        return backend.writing(self.name, resume_command(self.name, root=root, storage=self._url))

    @property
    def name(self) -> str:
        return self.folder.name

    def config(self) -> NamedConfig:
        """The configuration that the study was started with, at the place where it is now."""
        with reading(self.name, "its configuration"):
            values = without_unused(self._attributes[CONFIG])
            stored = NamedConfig.from_mapping(values, source=f"study {self.name}")
        return replace(stored, root=str(self.folder.path.parent), storage=self._url)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial in order of number, running ones with the trainings that they have so far."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    def trial(self, number: int) -> Trial:
        """One trial; StudyError where there is none of that number."""
        if number not in self._trials:
            raise StudyError(f"study {self.name!r} has no trial {number}; it has {self._range()}")
        return self._trials[number]

    def _range(self) -> str:
        return f"0 to {max(self._trials)}" if self._trials else "none yet"

    def find(self, digest: str) -> Trial | None:
        """The trial of this identity, a complete one before others and then the first; or None."""
        same = [trial for trial in self._trials.values() if trial.candidate.digest == digest]
        same.sort(key=lambda trial: (trial.state != "complete", trial.number))
        return same[0] if same else None

    def running(self, digest: str) -> Trial | None:
        """The trial of this identity that runs, also beside one that failed before; or None."""
        found = (trial for trial in self.trials() if trial.state == "running")
        return next((trial for trial in found if trial.candidate.digest == digest), None)

    def begin(
        self,
        candidate: Candidate,
        cost: Mapping[str, int],
        provenance: Mapping[str, Any],
        *,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> int:
        """Number of a new running trial.

        Its factors are the parameters that Optuna and its dashboard show, within `ranges` (the
        family's low and high by factor).
        """
        trial = Trial(self._count, "running", candidate, cost, provenance=provenance)
        data = encode_trial(trial)
        with self._writing():
            identifier = backend.add_running(
                self._storage.optuna,
                self._study,
                params=candidate.genotype.factors,
                ranges=ranges or {},
                attributes={TRIAL: data},
            )
            number = self._storage.optuna.get_trial_number_from_id(identifier)
        self._count = number + 1
        self._keep(decode_trial({**data, "number": number}), identifier)
        return number

    def put_training(self, number: int, key: TrainingKey, training: Training) -> None:
        """Keep one finished training of a running trial."""
        trial = self._running(number)
        self._write(replace(trial, trainings={**trial.trainings, key: training}))

    def put_reached(self, number: int, visits: int) -> Trial:
        """The running trial, which waits: all its trainings were tested after so many visits."""
        self._write(replace(self._running(number), reached=visits))
        return self._trials[number]

    def finish(self, number: int, state: State, reason: str | None = None) -> Trial:
        """The finished trial: complete with its trainings' score, or without one for a reason."""
        assert state != "running"
        assert (reason is None) == (state == "complete"), "no score, and only that, has a reason"
        trial = replace(self._running(number), state=state, reason=reason)
        told = _told(trial)
        self._write(trial)
        with self._writing():
            backend.tell(self._storage.optuna, self._ids[number], *told)
        return self._trials[number]

    def settle(self) -> tuple[int, ...]:
        """Numbers of the trials that had a result and were told only now, after a crash.

        Trials that still run after this have no result: they are to be continued.
        """
        told = tuple(self._untold)
        with self._writing():
            for number in told:
                backend.tell(self._storage.optuna, self._ids[number], *_told(self._trials[number]))
        self._untold.clear()
        return told

    def _running(self, number: int) -> Trial:
        trial = self.trial(number)
        assert trial.state == "running", f"trial {number} is {trial.state}"
        return trial

    def _write(self, trial: Trial) -> None:
        data = encode_trial(trial)
        identifier = self._ids[trial.number]
        with self._writing():
            self._storage.optuna.set_trial_user_attr(identifier, TRIAL, data)
        self._keep(decode_trial(data), identifier)

    def attribute(self, key: str) -> Any:
        """A JSON value of the study as a whole, or None."""
        return self._attributes.get(key)

    def attributes(self, kind: str) -> list[Any]:
        """The values of all keys `kind`/..., in the order of the record."""
        return [v for key, v in self._attributes.items() if key.startswith(f"{kind}/")]

    def set_attribute(self, key: str, value: Any) -> None:
        """Keep a JSON value of the study as a whole, in place of an older one under that key."""
        clean = without_nan(value)
        with self._writing():
            self._storage.optuna.set_study_user_attr(self._study, key, clean)
        self._attributes[key] = clean

    def contents(self) -> dict[str, Any] | None:
        """The data's contents as JSON, where the record was made to be shared among machines."""
        kept: dict[str, Any] = self._storage.optuna.get_study_system_attrs(self._study)
        return kept.get(CONTENTS)

    def latency(self, plan: Plan) -> Latency | None:
        """The measured latency of a network, trained or not; None where nobody has measured it."""
        found = self.attribute(f"{LATENCY}/{plan.digest}")
        return Latency.from_json(found) if found else None

    def put_latency(self, plan: Plan, latency: Latency) -> None:
        """Keep what was measured, once and for all: decisions stand on it."""
        assert self.latency(plan) is None, f"the latency of {plan.digest} is in the record"
        self.set_attribute(f"{LATENCY}/{plan.digest}", latency.to_json())

    def latencies(self) -> tuple[Latency, ...]:
        """Everything that was measured in this study."""
        return tuple(Latency.from_json(value) for value in self.attributes(LATENCY))

    def extend(self, changes: Mapping[str, Any]) -> None:
        """Give keys of the configuration larger values; what they were is kept with the time."""
        config = self.attribute(CONFIG)
        step = {
            "from": {key: config[key] for key in changes},
            "to": dict(changes),
            "at": now(),
            "networks": len(self._trials),
        }
        kept = self.extensions()
        if not kept or kept[-1]["to"] != step["to"]:  # else a process died right here
            self.set_attribute(EXTENSIONS, [*kept, step])
        self.set_attribute(CONFIG, {**config, **changes})

    def extensions(self) -> list[dict[str, Any]]:
        """The extensions that `extend` kept, in order: "from" and "to" by key, "at", "networks"."""
        return list(self.attribute(EXTENSIONS) or [])

    def final(self) -> dict[str, Any] | None:
        """The outcome of the winner's last training, as `set_final` kept it, or None."""
        found: dict[str, Any] | None = self.attribute(FINAL)
        return found

    def clips_of_last(self) -> tuple[str, ...]:
        """Hashes of all clips that trained the winner's weights, those before them included."""
        final = self.final()
        scores = Training.from_json(final["training"]).scores if final else ()
        tested = {score.key for score in scores}
        clips = self.attribute(DATA).get("clips", {})
        before = (self.attribute(INITIAL) or {}).get("clips", ())
        return tuple(sorted({*before, *(sha for key, sha in clips.items() if key not in tested)}))

    def last_trained(self) -> int | None:
        """Number of the trial whose last training is had; None where it failed or never was."""
        final = self.final()
        return final["trial"] if final and not self.last_failure() else None

    def last_failure(self) -> str | None:
        """The reason why the winner's last training gave nothing; None where it gave something."""
        training = (self.final() or {}).get("training")
        if training is None or training["status"] == "ok":
            return None
        return f"{training['status']}: {training['reason']}"

    def set_final(self, value: Mapping[str, Any]) -> None:
        """Keep what the training of the winner gave (its result, the path of its weights)."""
        self.set_attribute(FINAL, dict(value))

    def sessions(self) -> tuple[Session, ...]:
        """Every process that drove the study, first to last."""
        keys = [key for key in self._attributes if key.startswith(f"{SESSION}/")]
        keys.sort(key=lambda key: int(key.rpartition("/")[2]))
        return tuple(Session.from_json(self._attributes[key]) for key in keys)

    def start_session(self) -> int:
        """Number of a new session, kept before anything that it does."""
        number = len(self.sessions())
        self.set_attribute(f"{SESSION}/{number}", Session.start().to_json())
        return number

    def stop_session(self, number: int, reason: str) -> None:
        """Keep how this part of the run ended: "finished", "interrupted", "time limit" or why."""
        session = self.sessions()[number].stop(reason)
        self.set_attribute(f"{SESSION}/{number}", session.to_json())

    def worked(self) -> list[dict[str, Any]]:
        """The values that `put_worked` has kept; older sessions have nothing."""
        return self.attributes(WORKED)

    def put_worked(self, session: int, value: Mapping[str, Any]) -> None:
        """Keep how many "seconds" a session has been at its "part", in place of what was kept.

        "before" are the seconds of that part that no session has counted.
        """
        self.set_attribute(f"{WORKED}/{session}", dict(value))


def _told(trial: Trial) -> tuple[str, tuple[float, float] | None]:
    """The state and the values that Optuna is told: accuracy and MACs of a complete trial."""
    if trial.state != "complete":
        return ("PRUNED" if trial.state == "stopped" else "FAIL"), None
    score = summarise(trial)
    assert score is not None, "a complete trial has scores"
    return "COMPLETE", (score.top1, float(trial.candidate.macs))


def _refuse_existing(storage: Database, config: NamedConfig) -> None:
    """StudyError unless there is nothing, or only the beginning of a start that was killed."""
    study = storage.study(config.name)
    if study is None:
        return
    if CONFIG in storage.attributes(study):
        command = resume_command(config.name, root=config.root, storage=config.storage)
        raise StudyError(f"study {config.name!r} is already there; continue it with: {command}")
    if storage.optuna.get_n_trials(study):
        raise StudyError(
            f"the storage holds an Optuna study {config.name!r} that expand3d did not start; "
            "choose another name with --study"
        )
