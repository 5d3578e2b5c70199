"""Types of configuration values: pydantic checks them, and one line says what is legal.

A type is what pydantic reads (`Annotated` with bounds, or with `OneOf`), so that rule, JSON schema
and words have one source. A parser's UserError is a complete sentence and stays as it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Lt
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import is_typeddict

from expand3d.core.budget import Budget, parse_budget, parse_training_limit
from expand3d.core.errors import ConfigError, nearest
from expand3d.core.plugin_rows import Kind
from expand3d.core.units import Duration, Size
from expand3d.study.folder import check_name

#: How pydantic calls an error whose text follows "KEY = " and says everything.
COMPLETE = "complete"
#: Where a user's own family, strategy or executor is, as JSON schema says it.
OWN = {"type": "string", "pattern": r"^[\w.]+:\w+$", "description": "package.module:Name"}

Value = TypeVar("Value")


class Legal(str):
    """The values that a type allows, in words, where its bounds do not say so."""


class Example(str):
    """A text that a type allows."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "examples": [str(self)]}


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a few words; of a kind of plugins also the user's own, as `package.module:Name`."""

    options: Kind | tuple[str, ...]

    def check(self, value: Any) -> str:
        words = tuple(self.options)
        if isinstance(self.options, Kind) and isinstance(value, str) and ":" in value:
            self.options.load(value)
        elif value not in words:
            raise ValueError(_one_of(words, value))
        return str(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(complete(self.check))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return one_of(self.options)


class OrText:
    """A list that may also be written as one text."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "minLength": 1}]}


def one_of(options: Kind | Sequence[str]) -> dict[str, Any]:
    """The JSON schema of one of some words, or of the user's own where they are plugins."""
    words: dict[str, Any] = {"enum": list(options)}
    return {"anyOf": [words, OWN]} if isinstance(options, Kind) else words


def complete(read: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """The reader, whose ConfigError pydantic reports instead of letting it through."""

    def reader(value: Any) -> Value:
        try:
            return read(value)
        except ConfigError as error:
            raise PydanticCustomError(COMPLETE, "{said}", {"said": str(error)}) from None

    return reader


def _written(kind: type[Value], read: Callable[[str], Value]) -> tuple[Any, ...]:
    """Marks by which pydantic takes a text, or the value that was read from one before."""

    def reader(value: Any) -> Value:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str) or not value.strip():
            raise PydanticCustomError("text", "text")
        return read(value.strip())

    return PlainValidator(complete(reader)), WithJsonSchema({"type": "string", "minLength": 1})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _devices(value: Any) -> Any:
    items = _names(value)
    if not isinstance(items, tuple) or not all(isinstance(x, str) and x for x in items):
        raise ValueError(NAMES)
    return tuple(part.strip() for item in items for part in item.split(","))


Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Counts = Annotated[
    tuple[Count, ...],
    BeforeValidator(_tuple),
    Legal("a list of whole numbers of at least 1 such as [250, 500]"),
]
Number = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(strict=True, gt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
ShareOrNone = Annotated[float, Field(strict=True, ge=0, lt=1)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
Name = Annotated[str, Field(strict=True, min_length=1)]
StudyName = Annotated[
    str, Field(strict=True), AfterValidator(complete(check_name)), Example("birds")
]
Clip = Annotated[
    tuple[Count, Count],
    BeforeValidator(_tuple),
    Legal("two whole numbers of at least 1 such as [2, 14]"),
]
Jitter = Annotated[
    tuple[Number, Number], BeforeValidator(_tuple), Legal("two numbers such as [1.14, 1.43]")
]
NAMES = Legal('a list of names such as ["scene3", "scene7"]')
Names = Annotated[tuple[Name, ...], BeforeValidator(_names), OrText(), NAMES]
Targets = Annotated[
    tuple[Name, ...], BeforeValidator(_devices), OrText(), Legal("names such as pyslowfast")
]
DEVICE = Legal("cpu, cuda or cuda:N")
AnyDevice = Annotated[
    str, Field(strict=True, pattern=r"^(auto|cpu|cuda(:\d+)?)$"), Legal(f"auto, {DEVICE}")
]
Devices = Annotated[
    tuple[Annotated[str, Field(strict=True, pattern=r"^(cpu|cuda(:\d+)?)$")], ...],
    BeforeValidator(_devices),
    OrText(),
    DEVICE,
]
Address = Annotated[
    str,
    Field(strict=True, pattern=r"^(auto|[^:/\s]+:\d+)$"),
    Legal("HOST:PORT such as 10.0.0.1:6379, or auto"),
]
Url = Annotated[
    str,
    Field(strict=True, pattern=r"^\w+(\+\w+)?://.*$"),
    Legal("a URL such as postgresql://host/db"),
]
Cost = Annotated[Budget, *_written(Budget, parse_budget), Example("4GFLOPs")]
TrainingLimit = Annotated[Budget, *_written(Budget, parse_training_limit), Example("2.5TMACs")]
Time = Annotated[Duration, *_written(Duration, Duration.read), Example("2h")]
Bytes = Annotated[Size, *_written(Size, Size.read), Example("20GiB")]


def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The bare type of a key without None, and everything that `Annotated` says of it."""
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        inner, more = parts(base)
        return inner, (*more, *marks)
    if get_origin(hint) in (Union, UnionType):
        return parts(next(item for item in get_args(hint) if item is not NoneType))
    return hint, ()


def choices(hint: Any) -> tuple[str, ...]:
    """The words to choose from; () where a key takes more than a few words."""
    base, marks = parts(hint)
    if get_origin(base) is Literal:
        return get_args(base)
    return next((tuple(mark.options) for mark in marks if isinstance(mark, OneOf)), ())


def legal(hint: Any, value: Any = None) -> str:
    """The values that a type allows, such as "a whole number of at least 1"."""
    base, marks = parts(hint)
    if said := next((mark for mark in marks if isinstance(mark, Legal)), None):
        return said
    if words := choices(hint):
        return _one_of(words, value)
    if base is bool:
        return "true or false"
    if base in (int, float):
        return _number(base, [c for m in marks if isinstance(m, FieldInfo) for c in m.metadata])
    return f"text such as {example(hint)!r}"


def example(hint: Any) -> str:
    """A text that a type allows, as its `Example` says."""
    return next((mark for mark in parts(hint)[1] if isinstance(mark, Example)), "")


def _one_of(words: tuple[str, ...], value: Any) -> str:
    hint = nearest(value, words) if isinstance(value, str) else ""
    return f"one of {', '.join(words)}{hint if 'did you mean' in hint else ''}"


def _number(base: type, bounds: Sequence[Any]) -> str:
    words = "a whole number" if base is int else "a number"
    low = next((b for b in bounds if isinstance(b, (Ge, Gt))), None)
    if low is not None:
        words += f" of at least {low.ge:g}" if isinstance(low, Ge) else f" above {low.gt:g}"
    high: Any = next((b.lt for b in bounds if isinstance(b, Lt)), math.inf)
    return words + (f" and below {high:g}" if math.isfinite(high) else "")


def in_one_line(error: ValidationError, given: Mapping[str, Any], hints: Mapping[str, Any]) -> str:
    """The first mistake as "KEY = VALUE must be ..." or another sentence that is complete.

    `given` are the values by key, `hints` the types of the keys that there are.
    """
    first = error.errors(include_url=False)[0]
    key, kind, context = str(first["loc"][0]), first["type"], first.get("ctx", {})
    if kind == "unexpected_keyword_argument":
        return f"unknown key {key!r}{nearest(key, hints)}"
    if kind == "missing" and len(first["loc"]) == 1:
        return f"{key} is missing; write one such as {key} = {example(hints[key])!r}"
    value, hint = given[key], hints[key]
    if len(first["loc"]) > 1 and is_typeddict(table := parts(hint)[0]):
        inner = str(first["loc"][1])
        fields = get_type_hints(table, include_extras=True)
        if kind == "extra_forbidden":
            return f"the recipe has no key {inner!r}{nearest(inner, fields)}"
        key, value, hint = f"{key}.{inner}", value[inner], fields[inner]
    if kind == COMPLETE:
        return f"{key} = {context['said']}"
    must = context["error"] if kind == "value_error" else legal(hint, value)
    return f"{key} = {value!r} must be {must}"
