"""A record that holds something unexpected: one line that names the study, not a traceback."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from expand3d.core.errors import StudyError

#: What reading values of other types, shapes or ranges than were written can raise.
UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)


@contextmanager
def reading(study: str, what: str = "the record") -> Iterator[None]:
    """Context in which `what` of a study is read: StudyError where it holds something unexpected.

    User errors pass. The cause stays with the error, for who looks for it.
    """
    try:
        yield
    except UNEXPECTED as error:
        said = " ".join(str(error).split())[:200]
        raise StudyError(
            f"study {study!r}: {what} holds something unexpected ({type(error).__name__}: {said}); "
            "a later version of expand3d may have written it, or it is damaged"
        ) from error
