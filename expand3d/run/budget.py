"""The amounts that the budget of a study allows, before anything is decoded or trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from expand3d.core.budget import Budget
from expand3d.core.errors import BudgetError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.measured import Latency
from expand3d.core.quantity import LATENCY
from expand3d.cost.price import IN_MACS, Known, Price
from expand3d.data.flow.store import FlowSpec
from expand3d.measure.latency import measure_latency
from expand3d.measure.runtimes import is_elsewhere
from expand3d.measure.table import read_table
from expand3d.networks.family import Family, Limits
from expand3d.run.events import Watch

#: How many times faster than guessed a network with a larger crop may turn out to be.
SURPRISE = 3.0


@dataclass(frozen=True)
class Priced:
    """The price of a study, and the latencies by digest that were measured for it."""

    price: Price
    latencies: Mapping[str, Latency]


def refuse_small(budget: Budget, base: Plan, *, price: Price = IN_MACS) -> None:
    """BudgetError where the network that a study begins with exceeds a limit.

    Latency is left out unless `price` knows it.
    """
    for limit in budget.limits:
        if limit.quantity is LATENCY and price.known(base) is None:
            continue
        amount = price.amount(limit.quantity, base)
        if amount > limit.amount:
            raise BudgetError(
                f"budget = {budget.text!r} is less than the smallest {base.family} network costs; "
                f"the least is {limit.quantity.text(amount)}"
            )


def means(
    budget: Budget,
    base: Plan,
    *,
    device: str,
    threads: int,
    known: Known,
    watch: Watch,
    flow: FlowSpec | None = None,
    table: str | None = None,
) -> Priced:
    """The price of a study that begins with `base`, whose latency is measured where it is limited.

    BudgetError where it exceeds a limit. What is `known` is not measured again. `flow` says how
    optical flow is computed, whose time counts where the network reads it. `table` is a file of
    another device's latencies.
    """
    measured: dict[str, Latency] = {}

    def knows(plan: Plan) -> Latency | None:
        return measured.get(plan.digest) or known(plan)

    price = Price.of_budget(budget, device=device, threads=threads, known=knows)
    if price.clock is not None and known(base) is None:
        clock = price.clock
        latency = (
            read_table(table, clock.device).latency(base)
            if table and is_elsewhere(clock.device)
            else measure_latency(base, device=clock.device, threads=clock.threads, flow=flow)
        )
        measured[base.digest] = latency
        watch.measured(base, latency)
    refuse_small(budget, base, price=price)
    return Priced(price, measured)


def largest_crop(
    family: Family, start: Genotype, base: Plan, limits: Limits, budget: Budget, price: Price
) -> int:
    """The largest crop in pixels that any axis alone can reach from the start within the budget.

    Where latency is limited this is a guess, which the search has to be held to.
    """
    guess = price.guessed(base)

    def too_much(plan: Plan) -> bool:
        return any(
            guess.amount(limit.quantity, plan)
            > limit.amount * (SURPRISE if limit.quantity is LATENCY else 1)
            for limit in budget.limits
        )

    largest = base.crop
    for axis in family.axes:
        for genotype in family.grow(axis, start, limits):
            plan = family.resolve(genotype)
            if too_much(plan):
                break
            largest = max(largest, plan.crop)
    return largest


def held_to(limits: Limits, crop: int, price: Price) -> Limits:
    """The limits, with crops up to `crop` where that was only guessed from a latency."""
    if price.clock is None:
        return limits
    return dataclasses.replace(limits, crop=min(limits.crop, crop))


def overshooting(budget: Budget, ratio: float) -> Budget:
    """The budget of a schedule that overshoots: the first limit times `ratio`, and no other."""
    first = dataclasses.replace(budget.first, amount=round(budget.first.amount * ratio))
    return dataclasses.replace(budget, limits=(first,))
