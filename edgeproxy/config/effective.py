"""The configuration as it takes effect, and its JSON Schema: what `edgeproxy check` and `schema` print."""

from typing import Any

import yaml
from pydantic import SecretStr

from edgeproxy.config.schema import Config


def effective(config: Config) -> str:
    """`config` as YAML with every default filled in, in the order of the schema; secrets are `***`."""
    return yaml.dump(plain(config.model_dump()), sort_keys=False, allow_unicode=True, width=100)


def plain(value: Any) -> Any:
    """A value of the schema as YAML and JSON have it."""
    match value:
        case SecretStr():
            return "***" if value.get_secret_value() else ""
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(value)
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `config.yaml`, for editors.

    A value that is `${NAME}` is text whatever the setting wants, so text is allowed everywhere.
    """
    schema = Config.model_json_schema()
    _allow_variables(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "edgeproxy config.yaml",
    }


_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def _allow_variables(node: Any) -> None:
    """Put "or a variable" beside every number and boolean, and every text that has to have a form."""
    if isinstance(node, list):
        for item in node:
            _allow_variables(item)
    if not isinstance(node, dict):
        return
    for name, child in list(node.items()):
        if name in ("properties", "$defs") and isinstance(child, dict):
            for key, setting in child.items():
                _allow_variables(setting)
                child[key] = _or_variable(setting)
        else:
            _allow_variables(child)


def _or_variable(setting: dict[str, Any]) -> dict[str, Any]:
    if setting.get("type") not in ("integer", "number", "boolean") and not {"pattern", "enum"} & set(setting):
        return setting
    about: dict[str, Any] = {
        key: setting.pop(key) for key in ("description", "default", "title") if key in setting
    }
    return {**about, "anyOf": [setting, _VARIABLE]}
