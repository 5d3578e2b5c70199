"""The start of a search: a preset, a trial of another study, or an exported network."""

from __future__ import annotations

import re

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype
from expand3d.interop.network_file import read_network
from expand3d.networks import get_family, get_preset
from expand3d.study.record import Record


def find_start(text: str, *, root: str, storage: str | None = None) -> Genotype:
    """The genotype of what `text` names: a preset, STUDY:NUMBER, or a path to a network.json.

    The study is looked for under `root`, or in `storage` where that is set. What is not there is
    an error that names it.
    """
    if "/" in text or text.endswith(".json"):
        _, data = read_network(text)
        genotype = Genotype.from_json(data["genotype"])
    elif ":" in text:
        genotype = _of_trial(text, root, storage)
    else:
        return get_preset(text).genotype
    get_family(genotype.family).check(genotype)
    return genotype


def _of_trial(text: str, root: str, storage: str | None) -> Genotype:
    match = re.fullmatch(r"(?P<study>.+):(?P<number>[0-9]+)", text)
    if match is None:
        raise ConfigError(f"start = {text!r} must be a study and a trial's number, such as mine:3")
    trials = {t.number: t for t in Record.open(match["study"], root=root, storage=storage).trials()}
    trial = trials.get(int(match["number"]))
    if trial is None:
        there = f"it has {min(trials)} to {max(trials)}" if trials else "it has none yet"
        raise ConfigError(f"start = {text!r}: study {match['study']!r} has no such trial; {there}")
    return trial.candidate.genotype
