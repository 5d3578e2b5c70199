"""Prints how long the arithmetic cost of one network takes, against building and tracing it.

Run: python benchmarks/cost_twin.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from expand3d.core.genotype import Plan
from expand3d.cost.figures import figures
from expand3d.measure.fvcore import measure
from expand3d.networks import all_presets, get_family


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """The shortest of five rounds of `repeats` calls, per call."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        rounds.append((time.perf_counter() - start) / repeats * 1000)
    return min(rounds)


def row(name: str, plan: Plan) -> str:
    family = get_family(plan.family)
    macs = milliseconds(lambda: family.cost(plan).macs, 200)
    every = milliseconds(lambda: figures(plan), 200)
    return f"{name:<8} {len(family.cost(plan).operators):>6} {macs:>10.3f} {every:>12.3f}"


def main() -> None:
    print(f"{'preset':<8} {'layers':>6} {'MACs, ms':>10} {'figures, ms':>12}")
    for name, preset in all_presets().items():
        plan = get_family(preset.genotype.family).resolve(preset.genotype)
        print(row(name, plan))
    smallest = next(iter(all_presets().values()))
    plan = get_family(smallest.genotype.family).resolve(smallest.genotype)
    measure(plan)  # imports torch and fvcore
    start = time.perf_counter()
    measure(plan)
    print(f"fvcore on {smallest.name}: {(time.perf_counter() - start) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
