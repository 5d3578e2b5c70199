"""From a study's record to the view that is reported and exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expand3d.errors import StudyError
from expand3d.report.view import Final, StudyView
from expand3d.search.saved import strategy_from_json
from expand3d.study.config import StudyConfig
from expand3d.study.folder import DEFAULT_ROOT
from expand3d.study.listing import state_of
from expand3d.study.record import Record
from expand3d.study.session import Session
from expand3d.study.trial import Trial
from expand3d.train.recipe import Recipe
from expand3d.train.result import Training

#: Attributes of the study that the driver writes before its first trial.
DATA, STRATEGY = "data", "strategy"


def load_view(
    name: str, *, root: str | Path = DEFAULT_ROOT, storage: str | None = None
) -> StudyView:
    """The study as it is recorded now; reading needs no lock, so it may be running.

    StudyError where there is none of that name, or where it was killed before it began.
    """
    record = Record.open(name, root=root, storage=storage)
    kept, data = record.attribute(STRATEGY), record.attribute(DATA)
    if kept is None or data is None:
        raise StudyError(f"study {name!r} was stopped while it started and has nothing to show yet")
    strategy = strategy_from_json(kept)
    config, trials = record.config(), record.trials()
    return StudyView(
        name=name,
        state=state_of(record)[0],
        family=strategy.family,
        budget=strategy.budget,
        budget_text=config.budget,
        metric=strategy.metric,
        classes=tuple(data["classes"]),
        trials=trials,
        steps=strategy.steps(trials),
        best=strategy.result(trials),
        final=_final(record),
        fps=config.fps,
        facts=_facts(config, data, trials, record.sessions()),
    )


def _final(record: Record) -> Final | None:
    kept = record.final()
    if kept is None:
        return None
    training = Training.from_json(kept["training"])
    clips = len(training.scores)
    weights = record.folder.weights / kept["weights"] if kept["weights"] else None
    return Final(
        trial=kept["trial"],
        training=training,
        recipe=Recipe.from_json(kept["recipe"]),
        measured_on=f"{clips} clips of the test part, never used for choosing"
        if clips
        else "no clips: there is no test part",
        weights=weights if weights and weights.is_file() else None,
    )


def _facts(
    config: StudyConfig,
    data: Mapping[str, Any],
    trials: tuple[Trial, ...],
    sessions: tuple[Session, ...],
) -> dict[str, str]:
    """What the numbers stand on, by title, in words."""
    recipe = config.training_recipe().to_json()
    made = [trial.provenance for trial in trials]
    facts = {
        "Data": f"{config.data}: {len(data['clips'])} clips of {len(data['classes'])} classes, "
        f"{len(data['skipped'])} unreadable ones left out; fingerprint {data['fingerprint']}",
        "Training of a candidate": _listed(
            {key: value for key, value in recipe.items() if value is not None}
        ),
        "Estimate": f"{config.folds} fold(s) x {config.repeats} seed(s); seed {config.seed}",
        "Device": _distinct(f"{p['device']}, {p['threads']} threads" for p in made),
        "Versions": _distinct(_listed(p["versions"]) for p in made),
    }
    for number, session in enumerate(sessions, start=1):
        ended = f"{session.reason}, {session.stopped}" if session.stopped else "not ended"
        facts[f"Session {number}"] = (
            f"{session.command} on {session.host}, {session.started}; {ended}"
        )
    return facts


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _distinct(texts: Any) -> str:
    return "; ".join(dict.fromkeys(texts)) or "nothing was trained yet"
