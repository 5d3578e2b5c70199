"""One driver at a time where a record is shared: by the claims of its database, beside the lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from expand3d.core.errors import StudyError
from expand3d.study.claims import DRIVER
from expand3d.study.folder import study_command
from expand3d.study.lock import place
from expand3d.study.record import Record


@contextmanager
def alone(record: Record) -> Iterator[None]:
    """No worker takes part meanwhile and, where the record is on a server, no other driver.

    The study's lock is held. StudyError names who is at work.
    """
    claims, server = record.claims, record.config().storage is not None
    if claims.held(DRIVER) or not claims.supported or not (server or claims.everyone()):
        yield
        return
    with claims.signs_of_life():
        while not claims.take(DRIVER, place=place(record.folder)):
            _refuse_beside(record)
        try:
            claims.bury()
            _refuse_beside(record)
            yield
        finally:
            claims.give(DRIVER)


def _refuse_beside(record: Record) -> None:
    others = record.claims.others()
    if others:
        first = next((claim for claim in others if claim.name == DRIVER), others[0])
        role = "run by" if first.name == DRIVER else "trained by a worker,"
        root, storage = record.folder.path.parent, record.config().storage
        look = study_command("status", record.name, root=root, storage=storage)
        raise StudyError(
            f"study {record.name!r} is being {role} {first.text}; stop that one first, or look "
            f"with: {look}"
        )
