"""The row of targets that an expansion's steps aim at; expected values are worked out by hand."""

from __future__ import annotations

import pytest

from expand3d.search.expansion.targets import next_target, worth_a_step


@pytest.mark.parametrize(
    ("cost", "aimed", "budget", "wanted", "why"),
    [
        (10, 0, 300, 20, "the first target"),
        (20, 20, 300, 40, "the next"),
        (13, 20, 300, 40, "it fell short and catches up"),
        (11, 40, 300, 80, "so does one that is far behind"),
        (28, 20, 300, 40, "beyond its target, and the next is worth a step: 43%"),
        (36, 20, 300, 80, "so far beyond that the next, 11% above it, is passed over"),
        (95, 20, 300, 160, "beyond several targets"),
        (80, 80, 200, 160, "25% are left after the target, worth a step of its own"),
        (80, 80, 189, 189, "18% would be left after 160: the budget takes its place"),
        (80, 80, 160, 160, "a budget on a target"),
        (80, 80, 130, 130, "a budget before the next target"),
        (120, 160, 160, 160, "short of the budget that its step aimed at"),
        (10, 0, 11, 11, "a budget just above the start"),
    ],
)
def test_a_step_aims_at_the_next_target_that_is_worth_it(
    cost: int, aimed: int, budget: int, wanted: int, why: str
) -> None:
    """Targets of 20, 40, 80, 160, ...; a quarter of a doubling is a growth of 19%."""
    assert next_target(cost, aimed, start=10, ratio=2.0, budget=budget) == wanted, why


def test_rungs_of_another_ratio() -> None:
    # 1.5 x 100 is 150, then 225 and 337.5; a quarter of such a step is 10.7%.
    wanted = {150: 225, 200: 225, 204: 338, 225: 338}
    for cost, target in wanted.items():
        assert next_target(cost, 150, start=100, ratio=1.5, budget=10_000) == target


@pytest.mark.parametrize("ratio", [1.05, 1.1, 2.0, 4.0])
@pytest.mark.parametrize("cost", [100, 101, 104, 130, 199, 777])
def test_a_target_always_leaves_room_for_the_growth_that_an_axis_has_to_add(
    ratio: float, cost: int
) -> None:
    for aimed in (0, cost - 3, cost, cost + 3):
        for budget in (round(1.06 * cost), round(1.3 * cost), 50 * cost):
            if worth_a_step(cost, aimed, ratio=ratio, budget=budget):
                target = next_target(cost, aimed, start=100, ratio=ratio, budget=budget)
                assert 1.05 * cost <= target <= budget
                assert target > aimed or target == budget


@pytest.mark.parametrize(
    ("cost", "aimed", "enough"),
    [(95, 50, True), (96, 50, False), (96, 100, False), (84, 100, True), (85, 100, False)],
)
def test_after_a_step_to_the_budget_another_needs_more_than_a_few_percent(
    cost: int, aimed: int, enough: bool
) -> None:
    """Of 100: 1.05 x 95 is 99.75; 2^0.25 x 84 is 99.9, and 2^0.25 x 85 is 101.1."""
    assert worth_a_step(cost, aimed, ratio=2.0, budget=100) == enough
