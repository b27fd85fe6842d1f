"""The configuration as it takes effect, and its JSON Schema: what `edgeproxy check` and `schema` print."""

import re
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from edgeproxy.config.abouts import abouts
from edgeproxy.config.kinds import OR_VARIABLE
from edgeproxy.config.schema import Config
from edgeproxy.config.section import Section


def effective(config: Config) -> str:
    """`config` as YAML with every default filled in, in the order of the schema; secrets are `***`.

    Loaded again it gives the same configuration, less the secrets.
    """
    return as_yaml(config.model_dump())


def as_yaml(value: object, *, flow: bool | None = False) -> str:
    """A value as a file would have it, ending in a newline."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=flow, allow_unicode=True, width=100
    )
    # What YAML puts behind a lone scalar.
    return text.removesuffix("...\n")


class _Dumper(yaml.SafeDumper):
    """YAML with short lists in one line."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _listed(dumper: yaml.SafeDumper, values: Any) -> yaml.Node:
    items = sorted(values) if isinstance(values, frozenset) else list(values)
    is_plain = not any(isinstance(item, dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_plain)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # What would be a variable, or a dollar sign that was written twice, is written so again.
    return dumper.represent_str(re.sub(r"\$(?=[{$])", "$$", text))


_Dumper.add_representer(tuple, _listed)
_Dumper.add_representer(list, _listed)
_Dumper.add_representer(frozenset, _listed)
_Dumper.add_representer(str, _text)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `config.yaml`, for editors. `${NAME}` may stand for any single value.

    What one setting says of another is not in it.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(schema_generator=_Generator),
        "title": "edgeproxy config.yaml",
    }


class _Generator(GenerateJsonSchema):
    """No titles, which only repeat the names of the settings; variables beside words; defaults with units."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        shape: type[BaseModel] = schema["cls"]
        for name, about in abouts(shape).items():
            described["properties"][name]["description"] = about
        return described

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        words = super().literal_schema(schema)
        if "const" in words:
            return words
        return {"anyOf": [words, {"type": "string", "pattern": OR_VARIABLE.removeprefix("|")}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        writing = schema["schema"].get("serialization", {})
        if isinstance(schema.get("default"), Section):
            described.pop("default", None)
        elif "default" in described and writing.get("type") == "function-plain":
            described["default"] = writing["function"](schema["default"])
        return described
