"""A study as it is reported and exported: plain values, nothing to ask and nothing open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from expand3d.core.errors import StudyError
from expand3d.core.plugins import RUNTIMES
from expand3d.core.quantity import LATENCY, MACS, Quantity
from expand3d.core.recipe import Recipe
from expand3d.core.result import Training, TrainingKey
from expand3d.core.scores import Summary, summary
from expand3d.core.trial import BASELINE, Candidate, Trial, summarise
from expand3d.cost.price import Price
from expand3d.networks import get_family
from expand3d.networks.family import Preset
from expand3d.report.frontier import Point, frontier, hypervolume
from expand3d.report.study.chance import p_value_against_chance
from expand3d.search.expansion.confirm import agreement
from expand3d.search.expansion.seeds import pooled
from expand3d.search.expansion.steps import StepSummary, lineage
from expand3d.search.statistics import Metric, standing
from expand3d.search.strategies import strategy_from_json
from expand3d.search.strategy import Done
from expand3d.study.catalog import state_of
from expand3d.study.config import StudyConfig
from expand3d.study.damaged import reading
from expand3d.study.folder import DEFAULT_ROOT
from expand3d.study.record import BASELINES, DATA, STRATEGY, Record
from expand3d.study.session import Session
from expand3d.study.trained import LEARNING, trained


@dataclass(frozen=True)
class Final:
    """The last training of trial `trial`: `measured_on` says which clips its scores are of."""

    trial: int
    training: Training
    recipe: Recipe
    measured_on: str
    weights: Path | None = None
    #: Hashes of all clips that trained them.
    clips: tuple[str, ...] = ()

    @cached_property
    def score(self) -> Summary | None:
        """Accuracies, their interval and log-loss; None where the training gave none."""
        return summary(self.training.means, self.training.by_class) if self.training.means else None

    @property
    def hits(self) -> int:
        """Clips whose true class came first."""
        return sum(score.rank == 0 for score in self.training.scores)


@dataclass(frozen=True)
class StudyView:
    """One study at one moment.

    `budget` is in the `quantity` that the study's steps count. `steps` is empty where the strategy
    is not an expansion. `best` is the winner so far. `recipe` is how every trial was trained.
    `published` holds the published networks that take part, the digest of each by its name.
    `config` and `fingerprint` (of the data) are those of the record, None without one.
    `facts` are the lines of provenance that the page prints, by title. `stuck` is true where the
    strategy is at its end and no network was trained, so that resuming alone leads nowhere.
    """

    name: str
    state: str
    family: str
    budget: int
    budget_text: str
    metric: Metric
    classes: tuple[str, ...]
    trials: tuple[Trial, ...]
    steps: tuple[StepSummary, ...] = ()
    best: Trial | None = None
    final: Final | None = None
    fps: float = 30.0
    recipe: Recipe | None = None
    published: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    quantity: Quantity = MACS
    config: StudyConfig | None = None
    fingerprint: str | None = None
    stuck: bool = False
    #: The trainings in full of `expand3d train`, by the trial's number.
    trained: Mapping[int, Final] = field(default_factory=dict)
    #: The beginning of each clip's SHA-256 by its name.
    clips: Mapping[str, str] = field(default_factory=dict)
    #: The winner as trained on parts of the training clips, by the number of clips.
    learning: Mapping[int, Trial] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        """The share of the largest class among the clips that choose: accuracy of always saying it.

        1 / classes before a network has a score.
        """
        found = next(iter(self.scores.values()), None)
        return found.chance if found else 1 / len(self.classes)

    @cached_property
    def scores(self) -> dict[int, Summary]:
        """The summary of each complete trial's trainings, by its number."""
        found = {trial.number: summarise(trial) for trial in self.trials if _complete(trial)}
        return {number: score for number, score in found.items() if score is not None}

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that have a score, in order of number."""
        return tuple(trial for trial in self.trials if trial.number in self.scores)

    @cached_property
    def names(self) -> dict[int, str]:
        """Names of the published networks that trials are, by number.

        A candidate of the expansion is one too where it is the same network.
        """
        by_digest: dict[str, list[str]] = {}
        for name, digest in self.published.items():
            by_digest.setdefault(digest, []).append(name)
        known = {trial.number: by_digest.get(trial.candidate.digest) for trial in self.trials}
        return {number: " = ".join(names) for number, names in known.items() if names}

    @cached_property
    def baselines(self) -> tuple[Trial, ...]:
        """The trials of published networks, cheapest first, those without a score too."""
        found = [trial for trial in self.trials if trial.number in self.names]
        return tuple(sorted(found, key=lambda trial: (trial.candidate.cost, trial.number)))

    @cached_property
    def frontier(self) -> tuple[Trial, ...]:
        """The trials that no other dominates in top-1 and cost, cheapest first."""
        return tuple(self.complete[place] for place in frontier(self._points))

    @property
    def _points(self) -> list[Point]:
        return [
            Point(self.scores[trial.number].top1, trial.candidate.cost) for trial in self.complete
        ]

    @cached_property
    def lineage(self) -> tuple[Trial, ...]:
        """The last step's winner and what it grew from, the base first, named as in their steps."""
        return lineage(self.steps)

    @cached_property
    def asked(self) -> tuple[Trial, ...]:
        """The trials that the strategy asked for, in order of number.

        A published network that is trained beside them is one where a step offers it too.
        """
        offered = {c.digest for step in self.steps for c in step.offer.candidates}
        return tuple(
            trial
            for trial in self.trials
            if trial.candidate.role != BASELINE or trial.candidate.digest in offered
        )

    @property
    def path(self) -> tuple[int, ...]:
        """Numbers of the lineage's trials: without a beam, those that won a step."""
        return tuple(trial.number for trial in self.lineage)

    def parent(self, candidate: Candidate) -> Trial | None:
        """The trial of the network that a candidate of the expansion grew from, if it has one."""
        return self._by_digest.get(candidate.parent) if candidate.parent else None

    @cached_property
    def _by_digest(self) -> dict[str, Trial]:
        """The first trial of each network."""
        return {trial.candidate.digest: trial for trial in reversed(self.trials)}

    @property
    def hypervolume(self) -> float:
        """The area under the frontier up to (chance, twice the budget), in accuracy x decades."""
        return hypervolume(self._points, Point(self.chance, 2 * self.budget))

    @property
    def timed_on(self) -> str | None:
        """The hardware and threads that latencies were measured on, or None where none was.

        With the runtime, where that is another than the trainings'.
        """
        found = next((t.candidate.latency for t in self.trials if t.candidate.latency), None)
        if found is None:
            return None
        runtime = f", {found.device}" if found.device in RUNTIMES else ""
        return f"{found.hardware}, {found.threads} threads{runtime}"

    @property
    def final_p_value(self) -> float | None:
        """Exact binomial p-value of the final score against chance, None without one.

        Chance is the share of the largest class among the clips of the test.
        """
        if self.final is None or self.final.score is None:
            return None
        clips = len(self.final.training.scores)
        return p_value_against_chance(self.final.hits, clips, self.final.score.chance)

    @property
    def tested(self) -> str | None:
        """The views of every trial's test: '2 x 1' is two clips of a video, one crop of each."""
        return f"{self.recipe.test_views} x {self.recipe.test_crops}" if self.recipe else None

    def trial(self, number: int) -> Trial:
        """The trial of that number, which is there."""
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def confirmed(self) -> str | None:
        """One line: how often steps choose alike from scratch; None where none was confirmed."""
        return agreement(self.steps, self.trials, self.metric) if self._confirms else None

    @property
    def _confirms(self) -> bool:
        return self.config is not None and self.config.confirm

    def last_training(self, number: int) -> Final | None:
        """The training of a trial whose weights count: by `train`, else the winner's last one."""
        final = self.final if self.final is not None and self.final.trial == number else None
        return self.trained.get(number, final)

    def origin(self, trial: Trial) -> str:
        """The origin of a network: its step and axis, or the baseline that it is, or both."""
        text, name = standing(trial.candidate), self.names.get(trial.number)
        return f"{text} = {name}" if name and trial.candidate.step is not None else text

    def nearest_preset(self) -> tuple[Preset, int] | None:
        """The published network, and its cost, nearest in cost to the winner.

        Of the family's presets with a printed accuracy; cost is compared as a ratio. None where
        cost is a latency, which nobody has measured of them here.
        """
        if self.quantity is LATENCY:
            return None
        family, price = get_family(self.family), Price(self.quantity)
        here = self.best.candidate.cost if self.best else self.budget
        presets = [
            (preset, price.of(family.resolve(preset.genotype)))
            for preset in family.presets.values()
            if any(figure.what == "top1" for figure in preset.published)
        ]
        return min(presets, key=lambda item: max(item[1] / here, here / item[1]), default=None)


def _complete(trial: Trial) -> bool:
    return trial.state == "complete"


def load_view(
    name: str, *, root: str | Path = DEFAULT_ROOT, storage: str | None = None
) -> StudyView:
    """The study as it is recorded now; reading needs no lock, so it may be running.

    StudyError where there is none of that name, where it was killed before it began, or where its
    record holds something unexpected.
    """
    record = Record.open(name, root=root, storage=storage)
    with reading(name):
        return _view(record)


def _view(record: Record) -> StudyView:
    name = record.name
    kept, data = record.attribute(STRATEGY), record.attribute(DATA)
    if kept is None or data is None:
        raise StudyError(f"study {name!r} was stopped while it started and has nothing to show yet")
    strategy = strategy_from_json(kept, known=record.latency)
    config, trials = record.config(), record.trials()
    best = strategy.result(trials)
    return StudyView(
        name=name,
        state=state_of(record)[0],
        family=strategy.family,
        budget=strategy.budget,
        budget_text=config.budget.text,
        metric=strategy.metric,
        classes=tuple(data["classes"]),
        trials=tuple(pooled(trials)),
        steps=strategy.steps(trials),
        best=best,
        stuck=best is None and bool(trials) and isinstance(strategy.ask(trials), Done),
        final=_final(record),
        trained={number: _in_full(record, kept) for number, kept in trained(record).items()},
        learning=_learning(record, best and record.trial(best.number)),
        fps=config.fps,
        recipe=config.training_recipe(),
        published=record.attribute(BASELINES) or {},
        quantity=strategy.price.quantity,
        config=config,
        fingerprint=data["fingerprint"],
        clips=data.get("clips", {}),
        facts=_facts(config, data, trials, record.sessions()) | _extensions(record),
    )


def _learning(record: Record, best: Trial | None) -> dict[int, Trial]:
    """The winner with its trainings on each part of the clips; none of another winner's."""
    kept = record.attribute(LEARNING)
    if kept is None or best is None or kept["trial"] != best.number:
        return {}
    found = {}
    for row in kept["shares"].values():
        runs = {TrainingKey.parse(k): Training.from_json(v) for k, v in row["trainings"].items()}
        if runs.keys() == best.furthest.keys():
            found[row["clips"]] = replace(best, trainings=runs)
    return dict(sorted(found.items()))


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
        clips=record.clips_of_last(),
    )


def _in_full(record: Record, kept: Mapping[str, Any]) -> Final:
    weights = record.folder.path / kept["weights"]
    return Final(
        trial=kept["trial"],
        training=Training.from_json(kept["training"]),
        recipe=Recipe.from_json(kept["recipe"]),
        measured_on=kept["measured_on"],
        weights=weights if weights.is_file() else None,
        clips=tuple(kept["clips"]),
    )


def _facts(
    config: StudyConfig,
    data: Mapping[str, Any],
    trials: tuple[Trial, ...],
    sessions: tuple[Session, ...],
) -> dict[str, str]:
    """The facts behind the numbers, by title, in words."""
    recipe = config.training_recipe().to_json()
    made = [trial.provenance for trial in trials]
    facts = {
        "Data": f"{config.data}: {len(data['clips'])} clips of {len(data['classes'])} classes, "
        f"{len(data['skipped'])} unreadable left out; fingerprint {data['fingerprint']}",
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


def _extensions(record: Record) -> dict[str, str]:
    """The dates and limits of the study's extensions, by title, in words."""
    return {
        f"Extended {number}": ", ".join(
            f"{key} {step['from'][key]} to {value}" for key, value in step["to"].items()
        )
        + f" after {step['networks']} networks, {step['at']}"
        for number, step in enumerate(record.extensions(), start=1)
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in values.items())


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _distinct(texts: Any) -> str:
    return "; ".join(dict.fromkeys(texts)) or "nothing was trained yet"
