"""The warnings of a plan: what it asks of this machine that this machine has not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from expand3d.core.process import cores, memory_here
from expand3d.core.units import in_bytes
from expand3d.data.planned import PlannedStore
from expand3d.run.events import PlannedStep
from expand3d.run.prepare import Prepared


def warnings(
    ready: Prepared, rows: Sequence[PlannedStep], last: PlannedStep | None = None
) -> tuple[str, ...]:
    """One line for each thing that the machine lacks; `rows` are the steps, `last` the last one.

    Trainings on the machines of a cluster are not judged.
    """
    return (*_trainings(ready, rows, last), *_disk(ready))


def _trainings(
    ready: Prepared, rows: Sequence[PlannedStep], last: PlannedStep | None
) -> Iterator[str]:
    if ready.config.address is not None:
        return
    at_a_time, bench, final = ready.config.side_by_side, ready.bench, ready.final
    yield from _threads(bench.threads, at_a_time, "--threads")
    if last is not None and final.threads != bench.threads:
        yield from _threads(final.threads, 1, "--final-threads", " of the last training")
    if rows:
        networks = min(at_a_time, max(row.candidates for row in rows))
        yield from _memory(rows, networks, "the trainings")
    if last is not None:
        yield from _memory([last], 1, "the last training")


def _threads(threads: int, at_a_time: int, flag: str, of: str = "") -> Iterator[str]:
    wanted = threads * at_a_time
    if wanted > cores():
        each = f" ({at_a_time} trainings of {threads})" if at_a_time > 1 else ""
        yield (
            f"{wanted} threads{of}{each} on {_count(cores(), 'core')}: they wait for each other; "
            f"a lower {flag}{' or --workers' if at_a_time > 1 else ''} is faster"
        )


def _memory(rows: Sequence[PlannedStep], at_a_time: int, what: str) -> Iterator[str]:
    largest, here = max(row.memory or 0 for row in rows), memory_here()
    if here is not None and largest * at_a_time > here:
        together = f" ({at_a_time} at a time)" if at_a_time > 1 else ""
        ways = "fewer --workers or a lower" if at_a_time > 1 else "a lower"
        yield (
            f"{what} need up to {in_bytes(largest * at_a_time)} of memory{together}, and this "
            f"machine has {in_bytes(here)}: {ways} --recipe bn_batch needs less"
        )


def _disk(ready: Prepared) -> Iterator[str]:
    ahead = ready.store.ahead if isinstance(ready.store, PlannedStore) else None
    if ahead and ahead.short:
        yield (
            f"the disk of the clip cache lacks {in_bytes(ahead.short)}: lower --cache-cap (clips "
            "beyond it are read from their videos), or give the cache another place "
            "(EXPAND3D_CACHE)"
        )
    if ahead and ahead.beyond:
        yield (
            f"{_count(ahead.beyond, 'clip')} beyond --cache-cap {ready.config.cache_cap} will be "
            "read from the videos for every view, which takes longer; raise it if the disk allows"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
