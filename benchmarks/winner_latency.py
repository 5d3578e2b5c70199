"""A winner's latency, measured in a new process, beside what its study recorded.

    python benchmarks/winner_latency.py STUDY [--root studies] [--runs 3]

Each run is `expand3d cost --latency` on the winner's factors, device or runtime, and threads, in a
process of its own. Prints recorded and measured medians with their quartiles; exits 1 where the
median of the runs lies more than 20% beside the recorded one. Run it on a machine that is otherwise
idle, as the study was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from expand3d.core.plugins import RUNTIMES

TOLERANCE = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--root", default="studies", help="folder where studies live")
    parser.add_argument("--runs", type=int, default=3, help="processes that measure (default 3)")
    options = parser.parse_args()

    best = expand3d("status", options.study, "--root", options.root, "--json")["best"]
    recorded = best["latency"]
    print(_line(f"recorded, trial {best['number']}", recorded))
    print(f"  {recorded['hardware']}, {recorded['setting']}, {recorded['threads']} threads")
    genotype, ratios = best["genotype"], []
    device = recorded["device"]
    where = ["--latency", device] if device in RUNTIMES else ["--latency", "--device", device]
    factors = [f"--set={name}={value!r}" for name, value in genotype["factors"].items()]
    for run in range(options.runs):
        found = expand3d(
            *("cost", "--family", genotype["family"], *factors),
            *("--num-classes", str(best["plan"]["num_classes"])),
            *where,
            *("--threads", str(recorded["threads"]), "--json"),
        )
        assert found["plan"] == best["plan"], "the factors give another network"
        ratio = found["latency"]["median"] / recorded["median"]
        ratios.append(ratio)
        print(f"{_line(f'new process {run + 1}', found['latency'])}, {ratio - 1:+.1%}")
    return 0 if abs(statistics.median(ratios) - 1) <= TOLERANCE else 1


def expand3d(*words: str) -> Any:
    """The JSON that a command prints, in a process of its own."""
    command = [sys.executable, "-m", "expand3d", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _line(what: str, latency: dict[str, Any]) -> str:
    return (
        f"{what}: {latency['median']:.2f} ms ({latency['low']:.2f} to {latency['high']:.2f}, "
        f"{latency['runs']} passes)"
    )


if __name__ == "__main__":
    sys.exit(main())
