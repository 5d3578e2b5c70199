"""Published networks, trained like a study's candidates and kept in the same record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.core.errors import BudgetError, FactorError, nearest
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugins import FAMILIES
from expand3d.core.quantity import MACS
from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.data.check import CheckReport
from expand3d.execute.base import Executor
from expand3d.networks import get_family
from expand3d.networks.family import Family
from expand3d.networks.multigrid import readable, shapes
from expand3d.run.events import Overview, Watch
from expand3d.run.facts import facts
from expand3d.run.plan import forecast_each, planned_study
from expand3d.run.prepare import Prepared
from expand3d.run.runner import (
    Outcome,
    Part,
    create_record,
    executor,
    keep_growth,
    new_study,
    reopened,
)
from expand3d.run.shortage import warnings
from expand3d.search.statistics import label
from expand3d.search.strategy import Done, answers
from expand3d.study.catalog import FINISHED
from expand3d.study.config import StudyConfig
from expand3d.study.record import BASELINES, Record

#: Networks of up to this many times the study's budget take part where nobody says otherwise.
REACH = 2
#: Why a part of a run ended whose study has its baselines but not yet its result.
ONLY_BASELINES = "baselines trained; the expansion is not finished"


@dataclass(frozen=True)
class Selection:
    """The published networks that take part: all of `families`, or those in `names`.

    `most` is the largest cost in multiply-adds; None is REACH x the study's budget, in what that
    limits first, and no limit for networks that are named.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    names: tuple[str, ...] = ()
    most: int | None = None

    def ceiling(self, budget: int) -> int | None:
        """The largest cost that takes part beside a study of this budget; None is no limit."""
        return self.most if self.most is not None or self.names else REACH * budget


def networks_of(family: Family) -> dict[str, Genotype]:
    """A family's published networks by name, and its base where none of them is the same."""
    presets = {preset.name: preset.genotype for preset in family.presets.values()}
    known = {family.resolve(genotype).digest for genotype in presets.values()}
    if family.resolve(family.base).digest in known:
        return presets
    return {f"{family.name}-base": family.base, **presets}


def selected(selection: Selection, *, classes: int) -> tuple[Candidate, ...]:
    """The networks that the selection names, whatever they cost, cheapest first.

    Their classifiers have `classes` outputs. FactorError where a name is unknown.
    """
    families = FAMILIES if selection.names else selection.families
    found = {
        name: genotype
        for family in families
        for name, genotype in networks_of(get_family(family)).items()
    }
    for name in selection.names:
        if name not in found:
            raise FactorError(f"unknown preset {name!r}{nearest(name, found)}")
    chosen = [_candidate(name, found[name], classes) for name in selection.names or found]
    return tuple(sorted(chosen, key=lambda candidate: (candidate.macs, candidate.label)))


def _candidate(name: str, genotype: Genotype, classes: int) -> Candidate:
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=classes)
    return Candidate(
        genotype=genotype,
        plan=plan,
        macs=family.cost(plan).macs,
        step=None,
        axis=None,
        role=BASELINE,
        label=name,
    )


def new_baselines(
    config: StudyConfig,
    selection: Selection,
    *,
    keep_weights: bool = False,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train published networks in a new study, which `resume` then expands.

    `keep_weights` keeps those of every training, one per fold and repeat, in the study's folder.

    `stop` is that of `run_study`.
    """
    watch = watch or Watch()
    selected(selection, classes=1)  # an unknown name is said before any data is read
    with new_study(config, watch) as ready, executor(ready) as workers:
        candidates = _planned(selection, ready, (), watch)
        part = _Comparing(create_record(ready), ready, workers, watch, stop, candidates)
        part.keep_weights = keep_weights
        return part.go()


def add_baselines(
    name: str,
    selection: Selection,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    keep_weights: bool = False,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train published networks in a study that is there, on its data and by its recipe.

    What the record knows, its own candidates included, is not trained again. `changes` are those
    of `resume_study`; the study's own time limit is the expansion's and does not count here.
    `keep_weights` is that of `new_baselines`.
    """
    watch = watch or Watch()
    selected(selection, classes=1)
    changes = {"time_limit": None, **(changes or {})}
    with reopened(name, root=root, storage=storage, changes=changes, watch=watch) as begun:
        record, ready = begun
        with executor(ready) as workers:
            candidates = _planned(selection, ready, record.trials(), watch)
            keep_growth(record, ready, watch)
            part = _Comparing(record, ready, workers, watch, stop, candidates)
            part.keep_weights = keep_weights
            return part.go()


def plan_baselines(
    study: StudyConfig | str,
    selection: Selection,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> None:
    """Show what `new_baselines`, or `add_baselines` for a name, would train; nothing is changed."""
    watch = watch or Watch()
    selected(selection, classes=1)
    if isinstance(study, StudyConfig):
        _planned(selection, planned_study(study, None, watch), (), watch)
        return
    changes = {"time_limit": None, **(changes or {})}
    where: Mapping[str, Any] = {"root": root, "storage": storage, "changes": changes}
    with reopened(study, **where, watch=watch, plan=True) as (record, ready):
        _planned(selection, ready, record.trials(), watch)


def _planned(
    selection: Selection, ready: Prepared, trials: Sequence[Trial], watch: Watch
) -> tuple[Candidate, ...]:
    """The networks that take part, after the plan was shown; BudgetError where none does."""
    named, recipe = selected(selection, classes=len(ready.store.class_names)), ready.bench.recipe
    everything = tuple(c for c in named if readable(c.plan, recipe))
    unreadable = [c for c in named if c not in everything]
    if unreadable and (selection.names or not everything):
        shapes(unreadable[0].plan, recipe)  # ConfigError, with the reason
    most = selection.ceiling(ready.strategy.budget)
    costs, said = _costs(selection, ready, everything)
    taken = tuple(c for c in everything if most is None or costs[c.digest] <= most)
    if not taken:
        cheapest = min(everything, key=lambda c: costs[c.digest])
        raise BudgetError(
            f"no network costs {said(most or 0)} or less; the cheapest, "
            f"{label(cheapest)}, costs {said(costs[cheapest.digest])}: raise --max-budget"
        )
    known = answers(trials)
    todo = tuple({c.digest: c for c in taken if c.digest not in known}.values())
    costlier = [c for c in everything if c not in taken]
    recorded = [c for c in taken if c.digest in known]
    stands_on = dict(facts(ready))
    lines = [
        ("data", stands_on["data"]),
        ("training", stands_on["training"]),
        ("at most", "any cost" if most is None else f"{said(most)}; costlier is left out"),
        ("left out", _listed(f"{label(c)} {said(costs[c.digest])}" for c in costlier)),
        ("recorded", _listed(f"{label(c)} (trial {known[c.digest].number})" for c in recorded)),
    ]
    if unreadable:
        names = _listed(map(label, unreadable))
        lines.append(("multigrid", f"left out, as they read no smaller clips: {names}"))
    for candidate in todo:
        texts = _stretched(candidate.plan, ready.report)
        lines += [(label(candidate), text) for text in texts]
    if not todo:
        watch.note(f"every network that takes part is in the record of {ready.config.name!r}")
        return taken
    rows = forecast_each(ready, todo)
    shown = tuple(line for line in lines if line[1])
    watch.planned(Overview(ready.config.name, shown, rows, None, warnings=warnings(ready, rows)))
    return taken


def _costs(
    selection: Selection, ready: Prepared, candidates: Sequence[Candidate]
) -> tuple[dict[str, int], Callable[[float], str]]:
    """The costs of networks, by digest, in what their limit counts, and the way to write them.

    A latency that is not measured yet is guessed.
    """
    strategy = ready.strategy
    price = strategy.price.guessed(strategy.base().plan)
    quantity = MACS if selection.most is not None else price.quantity
    costs = {c.digest: price.amount(quantity, c.plan) for c in candidates}
    return costs, quantity.text


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _stretched(plan: Plan, report: CheckReport) -> list[str]:
    """Sentences on how clips are made to fit a network that asks for more than the data has."""
    texts = []
    if report.short_side and plan.crop > report.short_side:
        texts.append(
            f"reads {plan.crop} pixels; clips are enlarged (median short side "
            f"{report.short_side:.0f})"
        )
    needed = (plan.frames - 1) * plan.stride + 1
    if report.frames and needed > report.frames:
        texts.append(
            f"reads {needed} frames; shorter clips hold their last frame (median length "
            f"{report.frames:.0f})"
        )
    return texts


class _Comparing(Part):
    """The published networks that take part."""

    part = "baselines"
    #: True where the weights of every training stay in the study's folder.
    keep_weights = False

    def __init__(
        self,
        record: Record,
        ready: Prepared,
        workers: Executor,
        watch: Watch,
        stop: Callable[[], bool],
        candidates: Sequence[Candidate],
    ) -> None:
        super().__init__(record, ready, workers, watch, stop)
        self._candidates = candidates

    def counts(self, trial: Trial) -> bool:
        return trial.candidate.role == BASELINE

    def keeps_weights(self, candidate: Candidate) -> bool:
        return self.keep_weights

    def work(self) -> str:
        named = {label(candidate): candidate.digest for candidate in self._candidates}
        self.record.set_attribute(BASELINES, {**(self.record.attribute(BASELINES) or {}), **named})
        known = answers(self.record.trials())
        done = [known[c.digest] for c in self._candidates if c.digest in known]
        self.watch.step(self._candidates, done)
        wanted = {c.digest: self.priced(c) for c in self._candidates if c.digest not in known}
        self.answer(tuple(wanted.values()))
        return FINISHED if self._expanded() else ONLY_BASELINES

    def _expanded(self) -> bool:
        """True where the study's expansion has nothing left to do."""
        strategy, trials = self.ready.strategy, self.record.trials()
        if not isinstance(strategy.ask(trials), Done):
            return False
        if not self.ready.config.final:
            return True
        best = strategy.result(trials)
        return best is not None and self.record.last_trained() == best.number
