"""The paper's expansion, re-enacted: the real strategy, with published settings and outcomes.

X3D (arXiv 2004.04730) printed where each step arrived but not how it was solved (2.25, 2.9), so a
table stands in for the solver on the axis that won, and stand-in scores for the trainings. The
walk itself (which candidates, which choice, when it ends, the contraction) is the real one.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from expand3d.core.budget import format_macs
from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import Price
from expand3d.networks import get_family, get_preset
from expand3d.networks.family import Family, Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.solve import Exhausted, Solution, solution, solve
from expand3d.search.expansion.steps import StepSummary
from expand3d.search.statistics import axes_of
from expand3d.search.strategy import Done, expand_all

NUM_CLASSES = 400
#: Reaches X3D-XL (35.84 G) and leaves less than 5%, so that the expansion ends there.
WHOLE_BUDGET = 36_000_000_000
#: X3D-S: the seventh step overshoots 2 G and is contracted.
CONTRACTED_BUDGET = 2_000_000_000
#: As many as make a top-1 printed to 0.1% exact.
_CLIPS = 1_000


@dataclass(frozen=True)
class PathStep:
    """One step of the paper's path: the axes that lead there, the factors set, the cost.

    `gmacs` is as in the paper's convention, to the digits that its settings give. `preset` names
    the network, where it has a name. The stride is `inferred` where the paper prints none.
    """

    axes: tuple[str, ...]
    factors: Mapping[str, float]
    gmacs: str
    preset: str | None = None
    inferred: bool = False


PATH: tuple[PathStep, ...] = (
    PathStep((), {}, "0.02066", "x2d"),
    PathStep(("gamma_b",), {"gamma_b": 2.25}, "0.0410"),
    PathStep(("gamma_tau", "gamma_t"), {"gamma_t": 2, "gamma_tau": 14}, "0.0802", inferred=True),
    PathStep(("gamma_s",), {"gamma_s": 160 / 112}, "0.1534"),
    PathStep(("gamma_d",), {"gamma_d": 2.2}, "0.3036"),
    PathStep(("gamma_t",), {"gamma_t": 4, "gamma_tau": 12}, "0.6053", "x3d-xs"),
    PathStep(("gamma_tau",), {"gamma_t": 8, "gamma_tau": 6}, "1.2087", inferred=True),
    PathStep(("gamma_t",), {"gamma_t": 16, "gamma_tau": 5}, "2.4154", inferred=True),
    PathStep(("gamma_s",), {"gamma_s": 224 / 112}, "4.7325", "x3d-m"),
    PathStep(("gamma_s",), {"gamma_s": 312 / 112}, "9.4516"),
    PathStep(("gamma_d",), {"gamma_d": 5.0}, "18.3677", "x3d-l"),
    PathStep(("gamma_w",), {"gamma_w": 1.45}, "35.8376", "x3d-xl"),
)
CONTRACTED = PathStep(("gamma_t",), {"gamma_t": 13, "gamma_tau": 6}, "1.9629", "x3d-s")


@dataclass(frozen=True)
class Point:
    """One step of a replay: the winner that was computed, beside what was published.

    `published` is None where the paper has no such step (a contraction to another budget).
    """

    candidate: Candidate
    published: PathStep | None
    text: str

    @property
    def gmacs(self) -> str:
        """The computed cost with as many digits as the published one."""
        digits = len(self.published.gmacs.split(".")[1]) if self.published else 4
        return f"{self.candidate.macs / 1e9:.{digits}f}"

    @property
    def clip(self) -> str:
        """Frames x stride."""
        return f"{self.candidate.plan.frames}x{self.candidate.plan.stride}"

    @property
    def agrees(self) -> bool:
        """True where axes, cost to every digit, frames and stride are the published ones."""
        if self.published is None:
            return True
        candidate, factors = self.candidate, self.published.factors
        frames, stride = candidate.plan.frames, candidate.plan.stride
        return (
            axes_of(candidate) == self.published.axes
            and self.gmacs == self.published.gmacs
            and (frames, stride)
            == (factors.get("gamma_t", frames), factors.get("gamma_tau", stride))
        )


@dataclass(frozen=True)
class Replay:
    """A whole replayed run: its points, how many networks were scored, the end, the result."""

    budget: int
    points: tuple[Point, ...]
    networks: int
    reason: str
    result: Candidate

    @property
    def agrees(self) -> bool:
        return all(point.agrees for point in self.points)

    def summary(self) -> str:
        """One line: the budget, the number of networks, the result, why the run ended."""
        plan = self.result.plan
        return (
            f"budget {format_macs(self.budget)}: {self.networks} networks in "
            f"{len(self.points) - 1} steps after the base; best {plan.frames}x{plan.stride} "
            f"at {plan.crop}, {format_macs(self.result.macs)}; {self.reason}"
        )


def replay_x3d(budget: int) -> Replay:
    """The expansion of X3D to `budget` MACs under the paper's schedule, in well under a second."""
    strategy = Expansion(
        "x3d",
        NUM_CLASSES,
        budget,
        limits=Limits(),
        schedule="paper",
        metric="top1",
        solver=published_solver,
    )
    history = expand_all(strategy, published_outcome)
    ask, result = strategy.ask(history), strategy.result(history)
    assert isinstance(ask, Done) and result is not None, "every network of a replay is scored"
    points = tuple(_point(step, budget) for step in strategy.steps(history))
    return Replay(budget, points, len(history), ask.reason, result.candidate)


def published_solver(
    family: Family,
    axis: str,
    genotype: Genotype,
    *,
    target: int,
    ceiling: int | None,
    limits: Limits,
    num_classes: int,
    price: Price,
) -> Solution | Exhausted:
    """The published setting on the axis that won the step in the paper, else the solved one."""
    path = _genotypes()
    if genotype not in path or genotype == path[-1]:
        return Exhausted("the published path ends")
    following = path.index(genotype) + 1
    if axis in PATH[following].axes:
        return solution(family, path[following], target=target, num_classes=num_classes)
    return solve(
        family,
        axis,
        genotype,
        target=target,
        ceiling=ceiling,
        limits=limits,
        num_classes=num_classes,
        price=price,
    )


def published_outcome(candidate: Candidate) -> Trial:
    """A trial with the published top-1 on stand-in clips, or a stand-in that orders as published.

    Networks without a printed top-1 lie on the line through the named ones; those that lost their
    step lie 2 points below it.
    """
    top1 = _published_top1(candidate)
    right = round(top1 * _CLIPS / 100)
    scores = tuple(
        ClipScore(f"clip{index:04d}", 0, rank=0 if index < right else 1, nll=1 - top1 / 100)
        for index in range(_CLIPS)
    )
    training = Training(
        "ok", None, scores, clip_visits=0, training_macs=0, seconds=0.0, peak_memory=0
    )
    return Trial(0, "complete", candidate, {"macs": candidate.macs}, {TrainingKey(): training})


def _genotypes() -> list[Genotype]:
    """The published path as genotypes, X2D first."""
    path = [get_family("x3d").base]
    for step in PATH[1:]:
        path.append(path[-1].replace(**step.factors))
    return path


def _published_top1(candidate: Candidate) -> float:
    """Kinetics-400 top-1 in percent: printed, or a stand-in."""
    printed = _printed_top1()
    if candidate.macs in printed and _on_path(candidate):
        return printed[candidate.macs]
    costs = sorted(printed)
    # The segment around this cost; the first one goes on below X3D-XS, where nothing is printed.
    upper = min(max(bisect(costs, candidate.macs), 1), len(costs) - 1)
    low, high = costs[upper - 1], costs[upper]
    share = math.log(candidate.macs / low) / math.log(high / low)
    on_line = printed[low] + share * (printed[high] - printed[low])
    return on_line if _on_path(candidate) else on_line - 2


def _on_path(candidate: Candidate) -> bool:
    return candidate.role == "contract" or candidate.genotype in _genotypes()


def _printed_top1() -> dict[int, float]:
    """The printed top-1 of the named networks by their cost in MACs."""
    printed = {}
    for preset in (get_preset(step.preset) for step in (*PATH, CONTRACTED) if step.preset):
        family = get_family(preset.genotype.family)
        plan = family.resolve(preset.genotype, num_classes=NUM_CLASSES)
        for figure in preset.published:
            if figure.what == "top1":
                printed[family.cost(plan).macs] = float(figure.value)
    return printed


def _point(step: StepSummary, budget: int) -> Point:
    winner = step.winner
    assert winner is not None
    number = step.offer.step
    published: PathStep | None = PATH[number] if number < len(PATH) else None
    if winner.role == "contract":
        published = CONTRACTED if budget == CONTRACTED_BUDGET else None
    return Point(winner, published, step.text)
