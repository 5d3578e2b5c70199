"""The protocol of a strategy: a pure function from the record of trials to the next trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from expand3d.core.errors import BudgetError, ConfigError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.recipe import Multigrid
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import IN_MACS, Known, Price, nothing
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.statistics import Metric

if TYPE_CHECKING:
    from expand3d.search.expansion.steps import Offer, StepSummary
    from expand3d.study.config import StudyConfig


@dataclass(frozen=True)
class Batch:
    """Candidates that may be trained side by side, and one line that says why these.

    Some may be answered by the record already; the driver trains only the others. `visits` is the
    number of clip visits after which they are tested and wait, to be trained on by a later batch or
    stopped; None trains them to their recipe's end. Whole batches of clips make it up.
    """

    candidates: tuple[Candidate, ...]
    note: str
    visits: int | None = None


@dataclass(frozen=True)
class Done:
    """Nothing is left to train, and why."""

    reason: str


@dataclass(frozen=True)
class Measure:
    """A latency that is wanted: that of `plan`, which the record lacks and the next step needs."""

    plan: Plan


@dataclass(frozen=True)
class Stop:
    """Candidates that wait and are not to be trained on, and why; each has a running trial."""

    candidates: tuple[Candidate, ...]
    reason: str


Ask = Batch | Done | Measure | Stop


class Strategy(Protocol):
    """Frozen configuration and pure functions; equal records give equal answers, in any order.

    The record is a sequence of trials in any order. `budget` is in what `price` counts first,
    `start` replaces the family's base, `metric` compares trials.
    """

    @property
    def family(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def budget(self) -> int: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def start(self) -> Genotype | None: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def seed(self) -> int: ...
    @property
    def price(self) -> Price: ...

    @classmethod
    def configured(cls, given: Given) -> Strategy:
        """The strategy that a study's configuration asks for."""
        ...

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The next batch, at least one candidate of which `history` does not answer; or Done.

        Measure where the latency of a network has to be in the record first, Stop where trials end
        that were trained in part. A trial that still waits at the end is stopped then.
        """
        ...

    def steps(self, history: Sequence[Trial]) -> tuple[StepSummary, ...]:
        """The steps that `history` has reached, the open one included; () without steps."""
        ...

    def result(self, history: Sequence[Trial]) -> Trial | None:
        """The best trained network within the budget."""
        ...

    def futures(self, history: Sequence[Trial] = ()) -> tuple[tuple[Offer, ...], ...]:
        """Some ways in which a run may go, each as the networks of its steps with their costs."""
        ...

    def limits_text(self) -> str:
        """One line: within what networks are proposed."""
        ...

    def base(self) -> Candidate:
        """The network that the search begins with."""
        ...

    def extended(self, now: Strategy) -> Strategy:
        """The same strategy with the limits of `now` where those have grown."""
        ...

    def with_price(self, price: Price) -> Strategy:
        """The same strategy, which counts costs by `price`."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All of the strategy but the latencies, which the record keeps by themselves."""
        ...

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known) -> Strategy:
        """The strategy that `to_json` wrote; `known` gives the latencies that were measured."""
        ...


@dataclass(frozen=True)
class Given:
    """The parts that a strategy is made of: a study's configuration, and what its data allows.

    `spend` is the training limit as multiply-adds of one clip of all networks together, `visits`
    the clip visits of one training. `by_shape` are the clip visits of a network, or shares of them,
    in each shape of the recipe's `multigrid`.
    """

    config: StudyConfig
    budget: int
    limits: Limits
    start: Genotype
    num_classes: int
    metric: Metric
    spend: int | None
    price: Price
    visits: int = 1
    multigrid: Multigrid = "off"
    by_shape: tuple[int, ...] = (1,)


class StrategyBase:
    """The common part of strategies that are frozen dataclasses.

    A subclass has the fields of `Strategy`. `grows` names those that a study may extend.
    """

    grows: ClassVar[tuple[str, ...]] = ("budget",)
    #: Fields that are always the same in a study.
    unstored: ClassVar[tuple[str, ...]] = ()
    #: Fields of later versions, which are not stored where nothing of them is asked for.
    later: ClassVar[Mapping[str, Any]] = {}

    family: str
    num_classes: int
    budget: int
    limits: Limits
    start: Genotype | None
    price: Price

    def base(self) -> Candidate:
        return base_candidate(
            self.start or get_family(self.family).base,
            num_classes=self.num_classes,
            budget=self.budget,
            price=self.price,
            limits=self.limits,
        )

    def inside(self, candidate: Candidate) -> bool:
        """True where the network is within every limit of the budget, and allowed."""
        return (
            candidate.cost <= self.budget
            and self.price.over(candidate.plan) is None
            and self.limits.refusal(candidate.plan) is None
        )

    def restrictions_text(self) -> str:
        """The end of `limits_text`, about restrictions; empty without any."""
        names = " and ".join(self.limits.restrictions)
        return f", only networks that {names} allows" if names else ""

    def with_price(self, price: Price) -> Self:
        return replace(self, price=price)  # type: ignore[type-var]

    def extended(self, now: Strategy) -> Self:
        # Other threads or another device may train from here on; what is measured stays comparable.
        price = replace(now.price, clock=self.price.clock)
        same = all(getattr(self, name) == getattr(now, name) for name in self.grows)
        if same and self.price.to_json() == price.to_json():
            return self
        # How far latencies were looked at is a limit of its own, which a larger budget moves.
        changed = {name: getattr(now, name) for name in (*self.grows, "limits")}
        return replace(self, **changed, price=price)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        data = {
            item.name: getattr(self, item.name)
            for item in fields(self)  # type: ignore[arg-type]
            if item.name not in self.unstored
            and (item.name not in self.later or getattr(self, item.name) != self.later[item.name])
        }
        start = self.start.to_json() if self.start else None
        price = self.price.to_json()
        return {**data, "limits": self.limits.to_json(), "start": start, "price": price}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known = nothing) -> Self:
        # Older records count multiply-adds.
        price = Price.from_json(data["price"], known=known) if "price" in data else IN_MACS
        limits = Limits.from_json(data["limits"])
        start = Genotype.from_json(data["start"]) if data["start"] else None
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**{**values, "limits": limits, "start": start, "price": price})


def answers(history: Sequence[Trial], visits: int | None = None) -> Mapping[str, Trial]:
    """Finished trials by the digest of their network: a complete one first, then the earliest.

    With `visits`, running ones too that have reached so many.
    """
    finished = [
        trial
        for trial in history
        if trial.state != "running" or (visits is not None and trial.reached >= visits)
    ]
    finished.sort(key=lambda trial: (trial.state != "complete", trial.number))
    found: dict[str, Trial] = {}
    for trial in finished:
        found.setdefault(trial.candidate.digest, trial)
    return found


def ending(stop: Stop, history: Sequence[Trial]) -> tuple[Candidate, ...]:
    """The candidates of `stop` whose trials still run; there is one, or the search would hang."""
    running = {trial.candidate.digest for trial in history if trial.state == "running"}
    found = tuple(c for c in stop.candidates if c.digest in running)
    assert found, f"the strategy stops what does not run: {stop.reason}"
    return found


def base_candidate(
    genotype: Genotype,
    *,
    num_classes: int,
    budget: int,
    limits: Limits,
    price: Price = IN_MACS,
) -> Candidate:
    """The network that a strategy begins with.

    BudgetError where it exceeds a limit of the budget, ConfigError where `limits` refuse it.
    """
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=num_classes)
    if (reason := limits.refusal(plan)) is not None:
        raise ConfigError(
            f"restrictions = {', '.join(limits.restrictions)} refuse the base network: {reason}"
        )
    if (cost := price.of(plan)) > budget:
        raise BudgetError(
            f"budget = {price.quantity.text(budget)} is less than the base network costs; "
            f"the smallest budget is {price.quantity.text(cost)}"
        )
    if (over := price.over(plan)) is not None:
        raise BudgetError(f"the base network is over a limit of the budget: it takes {over}")
    return Candidate(
        genotype=genotype,
        plan=plan,
        step=0,
        axis=None,
        role="base",
        **price.fields(plan),
    )


def unexpected(plan: Plan) -> None:
    """Measures nothing: for strategies that count no latency."""
    raise AssertionError(f"nobody here can measure {plan.digest}")


def no_parts(candidates: Sequence[Candidate], visits: int) -> None:
    """Trains nothing: for strategies that train every network to its end."""
    raise AssertionError(f"nobody here can train to {visits} visits")


def no_stops(candidates: Sequence[Candidate], reason: str) -> None:
    """Stops nothing: for strategies that train every network to its end."""
    raise AssertionError(f"nobody here can stop a trial: {reason}")


def drive(
    strategy: Strategy,
    trials: Callable[[], Sequence[Trial]],
    answer: Callable[[Sequence[Candidate]], None],
    watch: Callable[[Batch], None] = lambda batch: None,
    measure: Callable[[Plan], None] = unexpected,
    advance: Callable[[Sequence[Candidate], int], None] = no_parts,
    stop: Callable[[Sequence[Candidate], str], None] = no_stops,
) -> Done:
    """The reason why the strategy ended: the one loop, whatever answers and keeps the record.

    `trials` reads the record, `answer` adds a finished trial for each of some networks to it,
    begun in their order; `watch` is told of each batch before its candidates are answered;
    `measure` adds the latency of a network to what the strategy's price knows. `advance` trains
    networks up to some visits, and `stop` ends trials that wait there.
    """
    while not isinstance(ask := strategy.ask(trials()), Done):
        if isinstance(ask, Measure):
            measure(ask.plan)
            continue
        if isinstance(ask, Stop):
            stop(ending(ask, trials()), ask.reason)
            continue
        watch(ask)
        known = answers(trials(), ask.visits)
        wanted = {c.digest: c for c in ask.candidates if c.digest not in known}
        assert wanted, f"the strategy asks again for what it knows: {ask.note}"
        if ask.visits is None:
            answer(tuple(wanted.values()))
        else:
            advance(tuple(wanted.values()), ask.visits)
    return ask


def expand_all(strategy: Strategy, evaluate: Callable[[Candidate], Trial]) -> list[Trial]:
    """Every trial of a whole run in memory, numbered in the order they were evaluated."""
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            history.append(replace(evaluate(candidate), number=len(history)))

    drive(strategy, lambda: history, answer)
    return history
