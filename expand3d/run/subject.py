"""The network that a command is about: a trial of a study, a preset, or a description in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.core.errors import ConfigError, StudyError
from expand3d.core.genotype import Genotype
from expand3d.core.recipe import Recipe
from expand3d.core.trial import Trial
from expand3d.interop.network import TRAINING_CLIPS, ExportedNetwork
from expand3d.networks import all_presets, get_family
from expand3d.run.start import find_start
from expand3d.run.train import SCORES, WEIGHTS, Wanted
from expand3d.search.strategies import strategy_from_json
from expand3d.study.config import NamedConfig
from expand3d.study.lock import StudyLock
from expand3d.study.record import DATA, STRATEGY, Record
from expand3d.study.sections import is_path
from expand3d.study.trained import put_trained, trained

#: The folder of trainings in full in a study's folder.
FOLDER = "trained"


@dataclass(frozen=True)
class Subject:
    """A network, and the study and trial that it is of, where it is of one."""

    title: str
    genotype: Genotype
    record: Record | None = None
    trial: Trial | None = None

    @property
    def config(self) -> NamedConfig | None:
        """The configuration of its study."""
        return None if self.record is None else self.record.config()

    @property
    def data(self) -> Mapping[str, Any] | None:
        """The facts of the data as its study's record has them."""
        return None if self.record is None else self.record.attribute(DATA)

    @property
    def folder(self) -> Path | None:
        """The folder in its study's that a training in full goes to."""
        if self.record is None or self.trial is None:
            return None
        return self.record.folder.path / FOLDER / f"trial-{self.trial.number:03d}"


def find_subject(text: str, *, root: str, storage: str | None = None) -> Subject:
    """The network that `text` names: a preset, STUDY, STUDY:NUMBER, or a path to a network.json.

    STUDY stands for its winner. What is not there is an error that names it.
    """
    if is_path(text) or text in all_presets():
        genotype = find_start(text, root=root, storage=storage)
        get_family(genotype.family).check(genotype)
        return Subject(text, genotype)
    name, _, number = text.partition(":")
    record = Record.open(name, root=root, storage=storage)
    if number:
        if not number.isdecimal():
            raise ConfigError(f"{text!r} must be a study and a trial's number, such as {name}:3")
        return of_trial(record, record.trial(int(number)))
    kept = record.attribute(STRATEGY)
    strategy = None if kept is None else strategy_from_json(kept, known=record.latency)
    best = None if strategy is None else strategy.result(record.trials())
    if best is None:
        raise StudyError(f"study {name!r} has no network within its budget yet")
    return of_trial(record, best)


def of_trial(record: Record, trial: Trial) -> Subject:
    """The network of a trial."""
    genotype = trial.candidate.genotype
    return Subject(f"{record.name}, trial {trial.number}", genotype, record, trial)


def join_record(subject: Subject, wanted: Wanted, network: ExportedNetwork) -> str | None:
    """Keep a trained network in its study's record; why it could not be, or None.

    The folder has to lie in the study's, so that both move together.
    """
    record, trial = subject.record, subject.trial
    if record is None or trial is None or wanted.known is None:
        return "trained on other data than the study's" if record is not None else None
    folder = record.folder.path.resolve()
    weights = (wanted.out / WEIGHTS).resolve()
    if not weights.is_relative_to(folder):
        return f"{wanted.out} is outside the study's folder"
    value = {
        "trial": trial.number,
        "training": json.loads((wanted.out / SCORES).read_text(encoding="utf-8")),
        "recipe": Recipe.from_json(network.recipe).to_json(),
        "extras": network.provenance["extras"],
        "kept": network.provenance["kept"],
        "begun_from": network.provenance["begun_from"],
        "seed": network.provenance["seed"],
        "data": network.provenance["data"]["fingerprint"],
        "measured_on": network.provenance["measured_on"],
        "clips": network.provenance[TRAINING_CLIPS],
        "weights": str(weights.relative_to(folder)),
    }
    if trained(record).get(trial.number) == value:
        return None
    with StudyLock(record.folder.make()):
        record.refresh()
        put_trained(record, value)
    return None
