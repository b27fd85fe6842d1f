"""docs/configuration.md, written from the schema, so that the two cannot differ."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edgeproxy.config.abouts import abouts
from edgeproxy.config.effective import as_yaml
from edgeproxy.config.kinds import Kind
from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES, RESPONSE_HEADERS_POLICIES
from edgeproxy.config.policies import AllExcept, Whitelist
from edgeproxy.config.schema import Config
from edgeproxy.config.section import Section
from edgeproxy.config.units import duration_text
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Selection
from edgeproxy.core.response_headers import ResponseHeadersPolicy

_INTRODUCTION = """\
# Configuration

<!-- Written by `edgeproxy schema --markdown`. Change the schema, not this page. -->

One YAML file, `config.yaml` in the working directory or the one that `--config` names. Its words are
CloudFront's, in snake case. `edgeproxy check` prints it with every default filled in, or everything that is
wrong with it: the place in the file, the value seen, the value wanted; the exit status is then 2. `edgeproxy
schema` prints a JSON Schema for editors. A small file:

```yaml
origins:
  bucket:
    type: s3
    bucket: ${S3_BUCKET:-assets}
  site:
    type: http
    url: https://www.example.com

origin_groups:
  media:
    members: [bucket, site]          # primary, secondary
    failover_on: [403, 404, 500, 502, 503, 504]

cache_policies:
  five_minutes:
    default_ttl: 5m
    query: {whitelist: [width, height]}

behaviors:
  - path_pattern: /thumbnails/*
    target_origin: media
    cache_policy: five_minutes

default_behavior:
  target_origin: media
```

**Units stand in the values.** Durations: `500ms`, `30s`, `5m`, `24h`, `365d`. Sizes: `512KiB`, `256MiB`,
`10GB`. A bare number is a mistake, but for 0.

**Variables.** `${NAME}` in any value is replaced from the environment, and has to be set there;
`${NAME:-default}` falls back where it is unset or empty; `$$` is a dollar sign. Inside `[...]` and `{...}`
YAML wants quotes around it: `["${NAME}"]`. Nothing else of the environment is read, but for AWS's own
variables where `credentials: default` asks for them.

**All values are text** until a setting reads them: `token: 0123` keeps its zero, `on` is not `true`. A
setting without a value is as if it were not there. Anchors, aliases and merges (`<<`) work, tags (`!`) do
not, and a key that stands twice is a mistake.

**Order matters** in `behaviors` and in `backfill.rules`: the first that matches decides. In a path pattern
`*` is any run of characters, slashes included, and `?` exactly one.

**Secrets** - tokens, secret keys, custom headers - are in no message and no output of `check`.
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

| `response_headers_policy` | Adds |
|---|---|
{response}
"""


def markdown() -> str:
    """The whole page."""
    chapters = (_chapter(name, field) for name, field in Config.settings().items())
    cache = "\n".join(f"| {name} | {_ttls(p.ttl)} | {_in_key(p.key)} |" for name, p in CACHE_POLICIES.items())
    request = "\n".join(
        f"| {name} | headers: {_told(p.headers)}; cookies: {_told(p.cookies)}; query: {_told(p.query)} |"
        for name, p in ORIGIN_REQUEST_POLICIES.items()
    )
    response = "\n".join(f"| {name} | {_added(p)} |" for name, p in RESPONSE_HEADERS_POLICIES.items())
    tables = _MANAGED.format(cache=cache, request=request, response=response)
    return "\n".join([_INTRODUCTION, *chapters, tables])


def _added(policy: ResponseHeadersPolicy) -> str:
    told = []
    if policy.cors is not None:
        cors = policy.cors
        lists = (("allow", cors.allow_methods), ("expose", cors.expose_headers))
        more = "".join(f", {what} {' '.join(names)}" for what, names in lists if names)
        told.append(f"CORS: from {' '.join(cors.allow_origins)}{more}")
    told += [f"`{f.name}: {f.value}`{', over the origin' if f.override else ''}" for f in policy.fields]
    return "; ".join(told)


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
    """A section of the file: what it is for, and a table for each shape that it may have."""
    shapes = list(_sections(field.annotation))
    heading = f"## `{name}`{', required' if field.is_required() else ''}"
    parts = [f"{heading}\n\n{abouts(Config).get(name) or _about(shapes[0])}\n"]
    for shape in shapes:
        parts.extend(_tables(f"{name}{_item(field)}", shape, is_alone=field.annotation is shape))
    return "\n".join(parts)


def _tables(where: str, shape: type[Section], *, is_alone: bool = False) -> Iterator[str]:
    if not is_alone:
        kind = shape.model_fields.get("type")
        of_type = f" of type `{get_args(kind.annotation)[0]}`" if kind is not None else ""
        yield f"### `{where}`{of_type}\n\n{_about(shape)}\n"
    yield "\n".join(_table(shape)) + "\n"
    for name, field in shape.settings().items():
        for nested in _sections(field.annotation):
            # Told in one word in the table itself.
            if nested not in (Whitelist, AllExcept):
                yield from _tables(f"{where}.{name}{_item(field)}", nested)


def _item(field: FieldInfo) -> str:
    origin = get_origin(field.annotation)
    return ".NAME" if origin is dict else "[]" if origin is tuple else ""


def _table(shape: type[Section]) -> Iterator[str]:
    yield "| Setting | Value | Default | |"
    yield "|---|---|---|---|"
    defaults: dict[str, Any] = {}
    for name, field in shape.settings().items():
        defaults[name] = field.get_default(call_default_factory=True, validated_data=defaults)
        about = " ".join(abouts(shape).get(name, "").split())
        value = _value(_annotated(field))
        yield f"| `{name}` | {value} | {_default(defaults[name], field)} | {about} |"


def _value(annotation: Any) -> str:
    """What may stand at a setting, in few words."""
    arguments = get_args(annotation)
    match get_origin(annotation):
        case None if annotation is type(None):
            return ""
        case None:
            if annotation is Whitelist or annotation is AllExcept:
                return f"`{{{next(iter(annotation.model_fields))}: [...]}}`"
            return "mapping"
        case origin if origin is Literal:
            return ", ".join(f"`{word}`" for word in arguments)
        case origin if origin is dict:
            return "mapping"
        case origin if origin in (tuple, frozenset):
            return f"list: {_value(arguments[0])}"
        case origin if origin is Annotated:
            kinds = [extra.name for extra in arguments[1:] if isinstance(extra, Kind)]
            return kinds[0] if kinds else _value(arguments[0])
        case _:
            return ", ".join(filter(None, map(_value, arguments)))


def _default(default: object, field: FieldInfo) -> str:
    if default is PydanticUndefined:
        return "*required*"
    if default is None or default in ((), {}, "") or isinstance(default, Section):
        return ""
    adapter: TypeAdapter[Any] = TypeAdapter(_annotated(field))
    return f"`{as_yaml(adapter.dump_python(default), flow=True).strip()}`"


def _annotated(field: FieldInfo) -> Any:
    # `Annotated` wants at least one extra; this one says nothing.
    return Annotated[field.annotation, "", *field.metadata]


def _about(shape: type[Section]) -> str:
    return (shape.__doc__ or "").strip().splitlines()[0]


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
