"""The list of a table: what an expansion may come to, in an order in which a part is of use."""

from __future__ import annotations

import dataclasses
import json

import pytest

from expand3d.core.trial import Trial
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.search.strategy import Batch, Done
from expand3d.search.tabular.networks import closure
from expand3d.search.tabular.tabulation import Tabulation, listed
from tests.helpers.strategies import scored

BUDGET = 80_000_000
LIMITS = Limits(crop=160, duration=64)


def expansion(budget: int = BUDGET) -> Expansion:
    return Expansion("x3d", 12, budget, LIMITS)


def table(at_a_time: int = 1) -> Tabulation:
    networks = listed(expansion(), count=3, repeats=3, repeated=4)
    return Tabulation("x3d", 12, BUDGET, networks, (100, 200), limits=LIMITS, at_a_time=at_a_time)


def test_the_closure_has_every_network_that_a_run_comes_to_whoever_wins() -> None:
    networks = closure(expansion())
    assert [sum(c.step == step for c in networks) for step in range(4)] == [1, 5, 21, 0]
    there = {c.digest for c in networks}
    assert len(there) == len(networks)
    for future in expansion().futures():  # drawn by lot
        assert {c.digest for offer in future for c in offer.candidates} <= there


def test_first_steps_come_first_then_all_others_then_more_seeds() -> None:
    networks = listed(expansion(150_000_000), count=5, repeats=3, repeated=40)
    seeds = [c.repeat for c in networks]
    assert seeds == [*[0] * 170, *[1] * 40, *[2] * 40]
    steps = [c.step for c in networks[:170]]
    assert steps[:28] == [0, *[1] * 5, *[2] * 22]
    assert set(steps[28:165]) == {3, 4, 5} and steps[165:] == [None] * 5
    costs = [c.macs for c in networks[28:165]]
    assert costs == sorted(costs)
    again = [c.plan.digest for c in networks[170:210]]
    assert again[:28] == [c.plan.digest for c in networks[:28]]
    assert again == [c.plan.digest for c in networks[210:]]
    assert len({c.digest for c in networks}) == len(networks)


def test_random_networks_are_at_the_budget_and_new() -> None:
    networks = table().networks
    drawn = [c for c in networks if c.role == "draw"]
    assert len({c.plan.digest for c in drawn}) == 3
    assert all(BUDGET / 1.05 <= c.macs <= BUDGET for c in drawn)
    assert not {c.plan.digest for c in drawn} & {c.plan.digest for c in closure(expansion())}


@pytest.mark.parametrize("at_a_time", [1, 3])
def test_each_is_trained_rung_by_rung_and_none_twice(at_a_time: int) -> None:
    strategy = table(at_a_time)
    history: dict[str, Trial] = {}
    asked: list[tuple[str, int | None]] = []
    while isinstance(batch := strategy.ask(list(history.values())), Batch):
        assert len(batch.candidates) <= at_a_time
        for c in batch.candidates:
            asked.append((c.digest, batch.visits))
            number = history[c.digest].number if c.digest in history else len(history)
            done = dataclasses.replace(scored(c), number=number)
            waits = dataclasses.replace(done, state="running", reached=batch.visits or 0)
            history[c.digest] = done if batch.visits is None else waits
    assert isinstance(batch, Done)
    for c in strategy.networks:
        assert [v for digest, v in asked if digest == c.digest] == [100, 200, None]
    assert [t.candidate for t in history.values()] == list(strategy.networks)


def test_a_record_keeps_the_list() -> None:
    kept = json.loads(json.dumps(strategy_to_json(table(), "tabulate")))
    assert strategy_from_json(kept) == table()
    assert strategy_from_json(kept).extended(table(2)) == table(2)
