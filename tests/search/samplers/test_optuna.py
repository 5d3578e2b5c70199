"""The part of a long record that a sampler is told."""

from __future__ import annotations

import itertools
import random

import pytest

from expand3d.networks import get_family
from expand3d.search.samplers import optuna as suggest
from expand3d.search.samplers.optuna import MOST_TOLD, Model, Trained, informative
from expand3d.search.samplers.sampling import Sampling
from tests.helpers.strategies import accuracy, make

BASE = get_family("x3d").base


def made_up(count: int, *, seed: int = 0) -> list[Trained]:
    """Networks of random price and gain."""
    rng = random.Random(seed)
    return [Trained(BASE, rng.randrange(1, 10**6), rng.random()) for _ in range(count)]


def dominated(network: Trained, others: list[Trained]) -> bool:
    return any(
        other.price <= network.price
        and other.gain >= network.gain
        and (other.price, other.gain) != (network.price, network.gain)
        for other in others
    )


def test_a_short_record_is_told_whole() -> None:
    assert informative(made_up(200), 200) == made_up(200)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_long_record_the_best_and_a_spread_of_the_others_are_told(seed: int) -> None:
    networks = made_up(1000, seed=seed)
    told = list(informative(networks, 200))
    assert len(told) == len(set(map(networks.index, told))) == 200
    assert [networks.index(network) for network in told] == sorted(map(networks.index, told))
    frontier = [network for network in networks if not dominated(network, networks)]
    second = [n for n in networks if n not in frontier]
    second = [network for network in second if not dominated(network, second)]
    assert len(frontier) + len(second) < 100  # whole layers fit into the half of the best
    assert all(network in told for network in (*frontier, *second))
    # The others come from everywhere: no tenth of the record is without one, nor its newest ones.
    places = [networks.index(network) for network in told]
    assert {place // 100 for place in places} == set(range(10))
    assert places[0] <= 100 and places[-1] >= 990
    assert informative(networks, 200) == told


def test_a_frontier_that_is_too_long_is_thinned_but_keeps_its_ends() -> None:
    chain = [Trained(BASE, price, price / 1000) for price in range(1, 1001)]
    told = informative(chain, 10)
    assert len(told) == 10
    assert {told[0].price, told[-1].price} == {1, 1000}


def test_only_a_gaussian_process_is_told_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "MOST_TOLD", {"gp": 6})
    strategy = make("gp")
    assert isinstance(strategy, Sampling)
    legal = itertools.islice(strategy.space.legal("random", 0, blocks=1), 20)
    trained = [Trained(v.genotype, v.price, accuracy(v.genotype)) for v in legal]
    misses = len(strategy.space.near_misses(suggest.NEAR_MISSES["gp"]))
    for sampler, told in (("gp", 6 + misses), ("tpe", 20), ("nsga2", 20)):
        model = Model(sampler, strategy.space, trained, seed=0, population=5)
        assert len(model._study.trials) == told


@pytest.mark.slow
def test_a_thousand_networks_suggest_what_those_that_are_told_do() -> None:
    """And again the same: nothing is left to chance or to what came before."""
    strategy = make("gp")
    assert isinstance(strategy, Sampling)
    legal = itertools.islice(strategy.space.legal("random", 0, blocks=16), 1000)
    trained = [Trained(v.genotype, v.price, accuracy(v.genotype)) for v in legal]
    few = informative(trained, MOST_TOLD["gp"])
    found = [
        Model("gp", strategy.space, networks, seed=0, population=5).suggest()[1].genotype
        for networks in (trained, few, trained)
    ]
    assert found[0] == found[1] == found[2]
