"""docs/configuration.md, written from the schema, so that the two cannot differ."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edgeproxy.config.effective import plain
from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES
from edgeproxy.config.schema import AllExcept, Config, Section, Whitelist
from edgeproxy.config.units import duration_text
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Selection

_INTRODUCTION = """\
# Configuration

<!-- Written by `edgeproxy schema --markdown`. Change the schema, not this page. -->

One YAML file, `config.yaml` in the working directory or the one that `--config` names. Its words are
CloudFront's, in snake case. `edgeproxy check` prints it with every default filled in, or everything that is
wrong with it: the path in the file, the value seen, the value wanted; the exit status is then 2. `edgeproxy
schema` prints a JSON Schema for editors.

**Units stand in the values.** Durations: `500ms`, `30s`, `5m`, `24h`, `365d`. Sizes: `512KiB`, `256MiB`,
`10GB`. A bare number is a mistake, but for 0.

**Variables.** `${NAME}` in any value is replaced from the environment, and has to be set there;
`${NAME:-default}` falls back where it is unset or empty; `$$` is a dollar sign. Nothing else of the
environment is read, but for AWS's own variables where `credentials: default` asks for them.

**Order matters** in `behaviors` and in `backfill.rules`: the first that matches decides. In a path pattern
`*` is any run of characters, slashes included, and `?` exactly one.
"""

_MANAGED = """\
## Managed policies

CloudFront's, by their names, with or without the prefix `Managed-`.

| `cache_policy` | min / default / max TTL | In the key |
|---|---|---|
{cache}

| `origin_request_policy` | Sends |
|---|---|
{request}
"""

_DOCUMENT_END = "\n..."
"""What YAML puts behind a lone scalar."""


def markdown() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for name, field in Config.model_fields.items():
        parts.append(_chapter(name, field))
    cache = "\n".join(f"| {name} | {_ttls(p.ttl)} | {_in_key(p.key)} |" for name, p in CACHE_POLICIES.items())
    request = "\n".join(
        f"| {name} | headers: {_told(p.headers)}; cookies: {_told(p.cookies)}; query: {_told(p.query)} |"
        for name, p in ORIGIN_REQUEST_POLICIES.items()
    )
    parts.append(_MANAGED.format(cache=cache, request=request))
    return "\n".join(parts)


def _ttls(ttl: TtlPolicy) -> str:
    return " / ".join(map(duration_text, (ttl.min_s, ttl.default_s, ttl.max_s)))


def _in_key(key: KeyPolicy) -> str:
    codings = [name for name, enabled in (("gzip", key.gzip), ("brotli", key.brotli)) if enabled]
    told = [f"{what}: {_told(getattr(key, what))}" for what in ("query", "headers", "cookies")]
    return "; ".join([*told, f"codings: {', '.join(codings) or 'none'}"])


def _told(selection: Selection) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(selection.names))
    return {"none": "none", "all": "all", "whitelist": names, "all_except": f"all but {names}"}[
        selection.pick
    ]


def _chapter(name: str, field: FieldInfo) -> str:
    """A section of the file: what it is for, and a table for each shape that its values may have."""
    shapes = list(dict.fromkeys(_sections(field.annotation)))
    is_named, is_list = "dict" in str(field.annotation), "tuple" in str(field.annotation)
    where = f"{name}.NAME" if is_named else f"{name}[]" if is_list else name
    lines = [f"## `{name}`", "", field.description or _first_line(shapes[0]), ""]
    for shape in shapes:
        if len(shapes) > 1 or shape.__name__ not in ("Server", "Admin", "Cache", "Log", "Backfill"):
            lines += [f"### `{where}`{_kind(shape)}", "", _first_line(shape), ""]
        lines += [*_table(shape), ""]
        for inner_name, inner in shape.model_fields.items():
            for nested in dict.fromkeys(_sections(inner.annotation)):
                if nested in (Whitelist, AllExcept):
                    continue
                lines += [
                    f"### `{where}.{inner_name}`{_index(inner)}",
                    "",
                    _first_line(nested),
                    "",
                    *_table(nested),
                    "",
                ]
    return "\n".join(lines)


def _kind(shape: type[Section]) -> str:
    return (
        f" of type `{get_args(shape.model_fields['type'].annotation)[0]}`"
        if "type" in shape.model_fields
        else ""
    )


def _index(field: FieldInfo) -> str:
    return ", each" if "tuple" in str(field.annotation) else ""


def _table(shape: type[Section]) -> Iterator[str]:
    yield "| Setting | Default | |"
    yield "|---|---|---|"
    own = [name for name in shape.model_fields if name in shape.__annotations__]
    for name in (*own, *(name for name in shape.model_fields if name not in own)):
        field = shape.model_fields[name]
        about = " ".join((field.description or "").split())
        yield f"| `{name}` | {_default(field)} | {about} |"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "*required*"
    if default is None or default in ((), {}, ""):
        return ""
    if isinstance(default, Section):
        return ""
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, Field(), *field.metadata])  # type: ignore[arg-type]
    text = yaml.dump(plain(adapter.dump_python(default)), default_flow_style=True, width=200)
    return f"`{text.split(_DOCUMENT_END)[0].strip()}`"


def _first_line(shape: type[Section]) -> str:
    return (shape.__doc__ or "").strip().splitlines()[0]


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
