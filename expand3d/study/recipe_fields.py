"""The fields of a recipe as keys of a study: their types, and a profile in which some differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, WithJsonSchema
from typing_extensions import TypedDict

from expand3d.core.recipe import Anneal, Multigrid, Recipe, get_profile
from expand3d.study.rules import Count, Example, Flag, Jitter, Legal, Number, Text, Whole

_FIELD_TYPES: Mapping[str, Any] = {
    "int": Whole,
    "int | None": Count | None,
    "float": Number,
    "bool": Flag,
    "str": Annotated[Text, WithJsonSchema({"enum": ["auto", "on", "off"]}), Example("auto")],
    "tuple[float, float]": Jitter,
    "Anneal": Anneal,
    "Multigrid": Multigrid,
}
FIELDS = {
    item.name: _FIELD_TYPES[str(item.type)]
    for item in dataclasses.fields(Recipe)
    if item.name != "profile"
}
if TYPE_CHECKING:
    _Table = Mapping[str, Any]
else:
    _Table = TypedDict("RecipeFields", FIELDS, total=False)
    _Table.__pydantic_config__ = ConfigDict(extra="forbid")
#: Fields of a profile that are to differ; the recipe itself knows its ranges.
RecipeFields = Annotated[_Table, Legal("a table of recipe fields")]


def profile_with(profile: str, fields: Mapping[str, Any]) -> Recipe:
    """The profile with some fields replaced; its length is in epochs or in visits, not both."""
    given = dict(fields)
    if given.get("clip_visits"):
        given.setdefault("epochs", None)
    return get_profile(profile, given)
