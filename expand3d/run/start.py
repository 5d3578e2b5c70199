"""The start of a search: a preset, a trial of another study, or an exported network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype
from expand3d.interop.network_file import read_network
from expand3d.networks import get_family, get_preset
from expand3d.study.record import Record
from expand3d.study.sections import is_path

#: A trial of a study, as `--start` names it.
_TRIAL = r"(?P<study>.+):(?P<number>[0-9]+)"


def find_start(text: str, *, root: str, storage: str | None = None) -> Genotype:
    """The genotype of what `text` names: a preset, STUDY:NUMBER, or a path to a network.json.

    The study is looked for under `root`, or in `storage` where that is set. What is not there is
    an error that names it.
    """
    if is_path(text):
        _, data = read_network(text)
        genotype = Genotype.from_json(data["genotype"])
    elif ":" in text:
        genotype = _of_trial(text, root, storage)
    else:
        return get_preset(text).genotype
    get_family(genotype.family).check(genotype)
    return genotype


def weights_left(text: str, init: str, *, root: str, storage: str | None = None) -> str | None:
    """A note where the network that `text` names has weights that trainings do not begin with.

    `init` names the weights that they do begin with. None where there is nothing to say.
    """
    if is_path(text):
        file, data = read_network(text)
        found, folder = data.get("weights"), str(file.parent)
        way = folder if "/" in folder else f"./{folder}"  # a name without a slash is a study's
        given = is_path(init) and Path(init).expanduser().resolve()
        used = given in (file.parent.resolve(), file.resolve())
        there = (file.parent / str(found)).is_file()
    elif match := re.fullmatch(_TRIAL, text):
        final, way = _final(match, root, storage), match["study"]
        found, used, there = (final or {}).get("weights"), init == way, final is not None
    else:
        return None
    if used or not (found and there):
        return None
    return (
        f"--start takes the network of {text} alone, and its weights, {found}, are not used; "
        f"--init {way} begins with them"
    )


def _final(match: re.Match[str], root: str, storage: str | None) -> dict[str, Any] | None:
    """The last training of the trial that `match` names, where that is the study's winner."""
    final = Record.open(match["study"], root=root, storage=storage).final()
    return final if final and final["trial"] == int(match["number"]) else None


def _of_trial(text: str, root: str, storage: str | None) -> Genotype:
    match = re.fullmatch(_TRIAL, text)
    if match is None:
        raise ConfigError(f"start = {text!r} must be a study and a trial's number, such as mine:3")
    trials = {t.number: t for t in Record.open(match["study"], root=root, storage=storage).trials()}
    trial = trials.get(int(match["number"]))
    if trial is None:
        there = f"it has {min(trials)} to {max(trials)}" if trials else "it has none yet"
        raise ConfigError(f"start = {text!r}: study {match['study']!r} has no such trial; {there}")
    return trial.candidate.genotype
