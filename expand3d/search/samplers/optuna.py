"""Optuna's samplers as functions of what was trained: told everything anew, in memory, each time.

A study in memory is filled with the trained networks, so nothing of a sampler outlives one batch
and its random state needs no keeping. Optuna's own bookkeeping in a storage (a genetic sampler's
generations) is recomputed from the order of the trials. A Gaussian process is fitted anew for each
suggestion, in time that grows with the cube of what it was told, so it is told a part
(`informative`).
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from expand3d.search.fronts import layers
from expand3d.search.samplers.simplex import Simplex
from expand3d.search.samplers.space import Space, Verdict
from expand3d.search.samplers.trained import Trained
from expand3d.study.optuna_inside import generation_mark, select_parents

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

#: Samplers that breed generations; they know nothing of what was refused.
GENETIC = ("nsga2", "nsga3")
#: Networks just over a limit that a Gaussian process is told, so that it knows the border before
#: it asks; a fit per refusal would be slow. They would crowd out what TPE learns from.
NEAR_MISSES = {"gp": 32}
#: Trained networks that a Gaussian process is told at most. Up to here a suggestion takes seconds,
#: as the search for its best point does anyway; at 1,000 the fit alone took most of a minute.
MOST_TOLD = {"gp": 200}


def informative(trained: Sequence[Trained], most: int) -> Sequence[Trained]:
    """At most `most` of the networks, in their order; all where there are no more.

    Half are the best: the frontier of gain and price, then that of the others, and so on. The rest
    are evenly spread over the record from its first to its last, so that the model also knows where
    nothing is to be had. A function of the sequence alone.
    """
    if len(trained) <= most:
        return trained
    kept: list[int] = []
    prices, gains = [one.price for one in trained], [one.gain for one in trained]
    for layer in layers(prices, gains):
        kept += _spread(layer, most // 2 - len(kept))
        if len(kept) == most // 2:
            break
    others = sorted(set(range(len(trained))) - set(kept))
    kept += _spread(others, most - len(kept))
    return [trained[place] for place in sorted(kept)]


def _spread(places: Sequence[int], count: int) -> list[int]:
    """`count` of the places at even distances, first and last among them; all if no more."""
    if len(places) <= count:
        return list(places)
    return [places[k * (len(places) - 1) // max(1, count - 1)] for k in range(count)]


class Model:
    """One sampler that has been told the trained networks, for the suggestions of one batch.

    Objectives are the gain, to be maximised, and the logarithm of the price, to be
    minimised. `trained` is never empty; of many a Gaussian process is told the `informative` ones.
    """

    def __init__(
        self,
        sampler: str,
        space: Space | Simplex,
        trained: Sequence[Trained],
        *,
        seed: int,
        population: int,
    ) -> None:
        import optuna

        self._genetic = sampler in GENETIC
        self._threaded = sampler == "gp"
        self._space = space
        trained = informative(trained, MOST_TOLD.get(sampler, len(trained)))
        self._gain = fmean(network.gain for network in trained)
        self._distributions = space.distributions()
        missed = space.near_misses(NEAR_MISSES.get(sampler, 0))
        # A limit that nobody exceeds is not worth a model of its own.
        exceeded = {name for v in missed for name, amount in v.excess.items() if amount > 0}
        self._limits = sorted(exceeded) if missed else sorted(space.names)
        with _quiet():
            self._study = optuna.create_study(
                directions=["maximize", "minimize"], sampler=_make(sampler, seed, population)
            )
            for place, network in enumerate(trained):
                generation = place // population if self._genetic else None
                verdict = space.judge(network.genotype).priced(network.price, space.budget)
                self._add(verdict, network.gain, generation, space.params(network))
            for verdict in missed:
                missing = Trained(verdict.genotype, verdict.price, self._gain)
                self._add(verdict, self._gain, None, space.params(missing))
            if self._genetic:
                _select_parents(self._study, sampler, len(trained) // population, population)

    def suggest(self) -> tuple[Trial, Verdict]:
        """The next suggestion, legal or not; it counts as in training until it is refused."""
        with _quiet(), _one_thread(self._threaded):
            trial = self._study.ask(dict(self._distributions))
        return trial, self._space.judge_params(trial.params)

    def refuse(self, trial: Trial, verdict: Verdict) -> None:
        """Tell the sampler that a suggestion exceeds a limit, or that the network is known."""
        from optuna.trial import TrialState

        with _quiet():
            if self._genetic or verdict.plan is None or verdict.reason is None:
                self._study.tell(trial, state=TrialState.FAIL)
                return
            for name in self._limits:
                trial.set_constraint(name, verdict.excess[name])
            # A sampler that models constraints needs values too: those that say nothing.
            self._study.tell(trial, [self._gain, math.log(verdict.price)])

    def _add(
        self, verdict: Verdict, gain: float, generation: int | None, params: dict[str, float]
    ) -> None:
        from optuna.trial import create_trial

        mark = {} if generation is None else generation_mark(self._study.sampler, generation)
        self._study.add_trial(
            create_trial(
                values=[gain, math.log(verdict.price)],
                params=params,
                distributions=dict(self._distributions),
                constraints={name: verdict.excess[name] for name in self._limits} or None,
                system_attrs=mark,
            )
        )


def _select_parents(study: Study, sampler: str, generation: int, population: int) -> None:
    """Let the parents of `generation` be chosen as in every other batch that it has.

    NSGA-III draws lots for them; a seed of its own gives each generation the same parents however
    often it is asked for. Optuna then finds them in the study.
    """
    select_parents(_make(sampler, 0, population), study, generation)


def _make(sampler: str, seed: int, population: int) -> BaseSampler:
    from optuna import samplers

    with _quiet():
        if sampler == "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True)
        if sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=1)
        if sampler == "nsga2":
            return samplers.NSGAIISampler(seed=seed, population_size=population)
        assert sampler == "nsga3", sampler
        return samplers.NSGAIIISampler(seed=seed, population_size=population)


@contextlib.contextmanager
def _one_thread(needed: bool) -> Iterator[None]:
    """With torch on one thread where `needed`: sums on more would depend on how many."""
    if not needed:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's news of studies in memory and of what it calls experimental."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
