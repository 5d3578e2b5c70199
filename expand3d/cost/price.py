"""The price of a network in a study: the quantity of its steps, and limits on others beside it.

Multiply-adds, parameters, activations and memory are arithmetic. Latency is measured, and what was
measured is data: a price reads it and never measures, so that equal records give equal decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.core.budget import Budget, Limit
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.quantity import LATENCY, MACS, QUANTITIES, Quantity
from expand3d.core.trial import Candidate
from expand3d.networks import activations, get_family

#: What is known of a network's latency, or None.
Known = Callable[[Plan], Latency | None]


class Unmeasured(Exception):
    """A decision needs the latency of `plan`, which nobody has measured yet."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(f"the latency of {plan.digest} is not measured yet")
        self.plan = plan


def nothing(plan: Plan) -> Latency | None:
    """No network's latency is known."""
    return None


@dataclass(frozen=True)
class Clock:
    """The device and CPU threads of a latency measurement."""

    device: str
    threads: int


@dataclass(frozen=True)
class Price:
    """The cost of networks in one quantity, and the limits `also` on others.

    `clock` is set where a latency is limited; `known` gives the latencies that were measured.
    """

    quantity: Quantity = MACS
    also: tuple[Limit, ...] = ()
    clock: Clock | None = None
    known: Known = nothing

    @classmethod
    def of_budget(cls, budget: Budget, *, device: str, threads: int, known: Known) -> Price:
        """The price that a budget counts; a latency that names no device is that of `device`."""
        clock = None
        if budget.latency is not None:
            clock = Clock(budget.latency.device or device, threads)
        return cls(budget.first.quantity, budget.also, clock, known)

    @property
    def measured(self) -> bool:
        """True where steps count what only a measurement gives."""
        return self.quantity is LATENCY

    def of(self, plan: Plan) -> int:
        """The network's cost in the quantity of the steps; Unmeasured where nobody knows it."""
        return self.amount(self.quantity, plan)

    def amount(self, quantity: Quantity, plan: Plan) -> int:
        """The amount of a quantity that the network takes; Unmeasured where nobody knows it."""
        if quantity is LATENCY:
            latency = self.known(plan)
            if latency is None:
                raise Unmeasured(plan)
            return latency.nanoseconds
        amount: int = getattr(get_family(plan.family).cost(plan), quantity.key)
        return amount

    def over(self, plan: Plan) -> str | None:
        """By which of the other limits the network is too much, as '26.1 ms'; arithmetic first."""
        for limit in sorted(self.also, key=lambda limit: limit.quantity is LATENCY):
            amount = self.amount(limit.quantity, plan)
            if amount > limit.amount:
                return limit.quantity.text(amount)
        return None

    def fields(self, plan: Plan) -> dict[str, Any]:
        """A candidate's price fields: `macs`, `price` and, where it is limited, `latency`."""
        macs = self.amount(MACS, plan)
        price = None if self.quantity is MACS else self.of(plan)
        return {"macs": macs, "price": price, "latency": self.known(plan) if self.clock else None}

    def guessed(self, start: Plan) -> Price:
        """The same where unmeasured latencies are guesses: in proportion to the activations.

        The measured `start` says how much time an activation takes.
        """
        if self.clock is None:
            return self
        first = self.known(start)
        if first is None:
            raise Unmeasured(start)
        share = first.median / activations(start)

        def guess(plan: Plan) -> Latency:
            if (measured := self.known(plan)) is not None:
                return measured
            return guessed_latency(share * activations(plan))

        return Price(self.quantity, self.also, self.clock, guess)

    def to_json(self) -> dict[str, Any]:
        """Everything but what is known, which the record keeps by itself."""
        return {
            "quantity": self.quantity.key,
            "also": [[limit.quantity.key, limit.amount, limit.convention] for limit in self.also],
            "clock": [self.clock.device, self.clock.threads] if self.clock else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known) -> Price:
        also = tuple(Limit(QUANTITIES[key], amount, text) for key, amount, text in data["also"])
        clock = Clock(*data["clock"]) if data["clock"] else None
        return cls(QUANTITIES[data["quantity"]], also, clock, known)


def guessed_latency(median: float) -> Latency:
    """A latency in ms that nobody has measured."""
    return Latency(median, median, median, 0, "guess", "guess", 0, "guess")


#: Costs in multiply-adds, and no other limit.
IN_MACS = Price()


def cost_text(candidate: Candidate) -> str:
    """A candidate's cost: '20.66 MMACs', or '20.66 MMACs, 3.1 ms' where it was measured."""
    macs = MACS.text(candidate.macs)
    if candidate.latency is None:
        return macs
    return f"{macs}, {LATENCY.text(candidate.latency.nanoseconds)}"
