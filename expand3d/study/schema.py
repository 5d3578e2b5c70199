"""The JSON schema of study files: editors complete keys and underline what is not legal by it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from expand3d.study.config import StudyConfig, as_written, keys

#: The comment that names the schema in the first line of a study file, to taplo and its like.
DIRECTIVE = "#:schema study.schema.json"


class _OfToml(GenerateJsonSchema):
    """TOML has no null: what may be None may be left out. Defaults stand as they are written."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, default: Any) -> Any:
        return as_written(default)


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study file: its keys with help, legal values and defaults; no others."""
    made = TypeAdapter(StudyConfig).json_schema(schema_generator=_OfToml)
    properties = {key: made["properties"][key] for key in keys()}
    for rules in properties.values():
        if rules.get("default", ...) is None:
            del rules["default"]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "A study of expand3d",
        "description": "Every key is also a flag of `expand3d run`; a flag overrides its key.",
        **{key: value for key, value in made.items() if key not in ("title", "description")},
        "properties": properties,
    }
