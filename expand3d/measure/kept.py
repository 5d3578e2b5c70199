"""Latencies that this machine measured before, kept in the cache of what can be made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from expand3d.core.files import make_folder, write_whole
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.plugins import RUNTIMES
from expand3d.data.source import cache_root
from expand3d.interop.verify import named
from expand3d.measure.latency import hardware_of, measure_latency
from expand3d.measure.runtimes import is_shipped

Measure = Callable[..., Latency]


def kept_latency(
    plan: Plan, *, device: str, threads: int | None, measure: Measure = measure_latency
) -> Latency:
    """The latency of `plan` as it was measured here once, else measured now and kept.

    Another processor, number of threads or version of what runs it is another measurement.
    """
    packages = RUNTIMES.row(device).needs if is_shipped(device) else ()
    origin = [
        device,
        threads,
        hardware_of("cpu" if is_shipped(device) else device),
        *map(named, ("torch", *packages)),
    ]
    key = hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:16]
    file = cache_root() / "latencies" / f"{plan.digest}-{key}.json"
    try:
        return Latency.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none yet, or a file that is no latency
        found = measure(plan, device=device, threads=threads)
        make_folder(file.parent)
        write_whole(file, json.dumps(found.to_json()))
        return found
