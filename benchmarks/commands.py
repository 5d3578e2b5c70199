"""Times of the command: `--help`, and the cost of 10,000 networks beside that of one.

    python benchmarks/commands.py [--repeats 5] [--csv FILE]

The two sides of a difference take turns; networks are X3Ds with factors drawn at random.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from expand3d.networks import get_family

NETWORKS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder) / "one.csv", Path(folder) / "many.csv"
        write_networks(one, 1)
        write_networks(many, NETWORKS)
        times: dict[str, list[float]] = {"--help": [], "cost of 1": [], "10,000 more": []}
        for _ in range(options.repeats):
            times["--help"].append(seconds("--help"))
            times["cost of 1"].append(seconds("cost", "--from", str(one), "--csv"))
            more = seconds("cost", "--from", str(many), "--csv") - times["cost of 1"][-1]
            times["10,000 more"].append(more)
    rows = [(name, statistics.median(t), min(t), max(t)) for name, t in times.items()]
    for row in rows:
        print("{:<12} {:.3f} s ({:.3f} to {:.3f})".format(*row))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([("command", "seconds", "low", "high"), *rows])


def write_networks(path: Path, count: int) -> None:
    """A CSV of X3Ds under the names of their factors, the same for a count."""
    rng = random.Random(0)
    factors = get_family("x3d").factors
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(factors)
        for _ in range(count):
            ranges = ((f.low, min(f.high, 5 * max(f.low, 1)), f.integer) for f in factors.values())
            drawn = (
                rng.uniform(low, high) if not whole else rng.randint(int(low), int(high))
                for low, high, whole in ranges
            )
            lines.writerow(f"{value:.4g}" for value in drawn)


def seconds(*words: str) -> float:
    """Wall seconds of one command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "expand3d", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
