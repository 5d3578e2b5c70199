"""A user's mistake in one line: the field, the value, the rule, the nearest legal choice.

The command line prints these without a traceback and exits 2. Everything else that is raised is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can mend; `str()` of it is one complete line."""


class FactorError(UserError):
    """A genotype that names an unknown family or factor, or a value outside its range."""


class BudgetError(UserError):
    """A budget that cannot be read, or that no network of the family fits."""


class DataError(UserError):
    """Videos, lists or labels that cannot be used; names the file."""


class ConfigError(UserError):
    """A study file or flag with an unknown key or an illegal value."""


class StudyError(UserError):
    """A study that is missing, already there, running elsewhere, or changed under its record."""


class FileError(UserError):
    """A file or folder that cannot be written; names it and says why."""


class ExportError(UserError):
    """A plan that the target codebase cannot express; names field, wanted and nearest."""


class Inexpressible(ExportError):
    """A plan of which a codebase cannot express `field`; another network it may build."""

    def __init__(self, text: str, field: str) -> None:
        super().__init__(text)
        self.field = field


class WeightsError(UserError):
    """Weights that do not fit a network; lists the names that are unknown, missing or unfit."""


def nearest(value: str, choices: Iterable[str]) -> str:
    """The text " (did you mean X?)", or the list of choices where none is near."""
    options = list(choices)
    close = difflib.get_close_matches(value, options, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (choose from {', '.join(options)})"
