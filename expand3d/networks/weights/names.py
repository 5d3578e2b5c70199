"""Names of weights here and elsewhere, as one table of pairs of templates.

`{j}` stands for any number, the same on both sides. A template is a module; what follows its last
dot in a state dict (`weight`, `running_mean`) is the same in all codebases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError
from expand3d.networks.family import Source

if TYPE_CHECKING:
    from torch import Tensor

#: Our template -> theirs.
Names = Mapping[str, str]


def renamed(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Our state dict under their names; WeightsError for a tensor that the table does not know."""
    patterns = [(_pattern(ours), theirs) for ours, theirs in names.items()]
    found = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        matches = ((pattern.fullmatch(module), theirs) for pattern, theirs in patterns)
        theirs = next((text.format(**match.groupdict()) for match, text in matches if match), None)
        if theirs is None:
            raise WeightsError(f"no name elsewhere is known for {key}")
        found[f"{theirs}.{leaf}"] = value
    return found


def source(codebase: str, names: Names, *, marker: str) -> Source:
    """The table as one that weights are read by; `marker` is a tensor that only they call so."""
    rules = tuple(
        (f"{_pattern(theirs).pattern}\\.(?P<leaf>[a-z_]+)", f"{_expanded(ours)}.\\g<leaf>")
        for ours, theirs in names.items()
    )
    return Source(codebase, re.escape(marker), rules)


def inverse(names: Names) -> dict[str, str]:
    """Their template -> ours."""
    back = {theirs: ours for ours, theirs in names.items()}
    assert len(back) == len(names), "two of our modules have one name there"
    return back


def _expanded(template: str) -> str:
    return template.replace("{j}", r"\g<j>")


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{j\}", r"(?P<j>\d+)"))
