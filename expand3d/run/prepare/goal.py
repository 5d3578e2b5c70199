"""The first stage of preparing: the budget, the family, and where the search begins."""

from __future__ import annotations

from dataclasses import dataclass

from expand3d.core.budget import Budget
from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype, Plan
from expand3d.measure.runtimes import is_elsewhere, is_shipped, refuse_absent
from expand3d.measure.table import read_table
from expand3d.networks import get_family
from expand3d.networks.family import Family, Limits
from expand3d.networks.multigrid import shapes
from expand3d.run.budget import overshooting, refuse_small
from expand3d.run.start import find_start
from expand3d.study.config import StudyConfig


@dataclass(frozen=True)
class Goal:
    """The most that a network may cost, and where the search begins.

    `reach` is the budget that networks on the way may need: a schedule may overshoot.
    """

    budget: Budget
    reach: Budget
    family: Family
    start: Genotype

    def base(self, classes: int) -> Plan:
        """The first network's plan; BudgetError where it exceeds a limit that is arithmetic."""
        plan = self.family.resolve(self.start, num_classes=classes)
        refuse_small(self.budget, plan)
        return plan


def find_goal(config: StudyConfig, start: Genotype | None = None) -> Goal:
    """The goal of a configuration; `start` replaces the network that it names.

    An error names the key where the family or the start is unknown, or where no data could make the
    first network cheap enough.
    """
    family = get_family(config.family)
    if start is None and config.start:
        start = find_start(config.start, root=config.root, storage=config.storage)
    start = start or family.base
    if start.family != family.name:
        raise ConfigError(
            f"start = {config.start!r} belongs to family {start.family!r}, not {family.name!r}"
        )
    budget = config.budget
    device = budget.latency.device if budget.latency else None
    if device and is_shipped(device):
        refuse_absent(device)
    if config.latencies:
        if not device or not is_elsewhere(device):
            raise ConfigError(
                f"latencies = {config.latencies!r} are of another device: name it in the budget, "
                "such as 25ms@pi5"
            )
        read_table(config.latencies, device)
    reach = budget if config.schedule == "fit" else overshooting(budget, config.ratio)
    goal = Goal(budget, reach, family, start)
    # One class is the cheapest head: what is refused here no data could save, so none is made.
    base = goal.base(1)
    if (reason := Limits(restrictions=config.expressible_in).refusal(base)) is not None:
        names = ", ".join(config.expressible_in)
        raise ConfigError(f"expressible_in = {names} refuses the first network: {reason}")
    for recipe in (config.training_recipe(), *([config.last_recipe()] if config.final else [])):
        shapes(base, recipe)  # ConfigError where it reads no smaller clips
    return goal
