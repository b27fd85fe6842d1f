"""What is asked for on the admin port, read from queries and bodies.

What cannot be read raises `ValueError` with one line for the user.
"""

import re

from multidict import MultiMapping

from edgeproxy.backfill.filler import Asked
from edgeproxy.backfill.job import State, Wanted
from edgeproxy.config.units import Duration
from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.paths import normalise
from edgeproxy.origins.base import whole_body


def asked_node(query: MultiMapping[str], pools: list[str]) -> tuple[str, str]:
    """The pool and the node of `?pool=api&node=a`; the pool may be left out where there is one alone."""
    unknown = set(query) - {"pool", "node"}
    if unknown:
        raise ValueError(f"{min(unknown)}: is no parameter, want node and pool")
    if not query.get("node"):
        raise ValueError("node: is missing, want the name of a node")
    pool = query.get("pool") or (pools[0] if len(pools) == 1 else "")
    if not pools:
        raise ValueError("origins: there is no pool")
    if not pool:
        raise ValueError(f"pool: is missing, want one of {', '.join(pools)}")
    return pool, query["node"]


def asked_request(url: str, method: str, headers: list[str], data: str | None = None) -> Request:
    """The request of `explain`: a URL, or a path alone, fields as "Name: value", and perhaps a body.

    A body is taken for JSON where no field says what it is.
    """
    if not url:
        raise ValueError('url: is missing, want a URL or a path such as "/images/a.jpg"')
    host, target = "localhost", url
    if not url.startswith("/"):
        scheme, separator, rest = url.partition("://")
        if scheme not in ("http", "https") or not separator or not rest:
            raise ValueError(f'url: got "{url}", want a URL or a path such as "/images/a.jpg"')
        host, slash, path = rest.partition("/")
        target = slash + path or "/"
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f'header: got "{header}", want "Name: value"')
        pairs.append((name.strip(), value.strip()))
    path, _, query = target.partition("#")[0].partition("?")
    if data is None:
        return Request(method.upper(), path, query, Headers(pairs), host=host)
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    body = whole_body(data.encode())
    return Request(method.upper(), path, query, Headers(pairs), host=host, body=body)


def wanted_jobs(query: MultiMapping[str]) -> Wanted:
    """The jobs that are meant by `?state=dead&state=failed&group=media&prefix=images/&number=7&limit=100`."""
    unknown = set(query) - {"state", "group", "prefix", "number", "limit"}
    if unknown:
        raise ValueError(f"{min(unknown)}: is no filter, want state, group, prefix, number or limit")
    words = query.getall("state", [])
    for word in words:
        if word not in list(State):
            raise ValueError(f'state: got "{word}", want one of {", ".join(State)}')
    numbers = {}
    for name in ("number", "limit"):
        if name in query:
            if not re.fullmatch("[0-9]{1,18}", query[name]):
                raise ValueError(f'{name}: got "{query[name]}", want a number')
            numbers[name] = int(query[name])
    return Wanted(
        frozenset(map(State, words)) or frozenset(State),
        query.get("group"),
        query.get("prefix", "").encode("utf-8", "surrogateescape"),
        numbers.get("number"),
        numbers.get("limit", 100),
    )


def asked_paths(body: object) -> list[str]:
    """The paths of a purge: {"paths": ["/a.jpg", ...]}."""
    paths = body.get("paths") if isinstance(body, dict) else None
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError('body: want {"paths": ["/a.jpg", "/images/*", "#tag"]}')
    return paths


def asked_objects(body: object, *, is_burial: bool) -> Asked:
    """The objects of {"paths": ["/a.jpg"], "group": "media", "for": "1d"}; `for` of burials alone."""
    told = dict(body) if isinstance(body, dict) else {}
    paths, group, lasting = told.pop("paths", None), told.pop("group", None), told.pop("for", "1d")
    if not isinstance(paths, list) or not paths or told or (lasting != "1d" and not is_burial):
        more = ', "for": "1d"' if is_burial else ""
        raise ValueError(f'body: want {{"paths": ["/a.jpg"], "group": "media"{more}}}, group may be left out')
    if group is not None and not isinstance(group, str):
        raise ValueError("group: is no text, want the name of an origin group")
    try:
        for_s = Duration().read(lasting)
    except ValueError as error:
        raise ValueError(f"for: got {lasting!r}, want {error}") from None
    return Asked(tuple(_object_path(path) for path in paths), group, for_s)


def _object_path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/") or "?" in path or "*" in path:
        raise ValueError(f"path: got {path!r}, want the path of one object such as /images/a.jpg")
    try:
        return normalise(path, allow_ambiguous=True)
    except RequestError as error:
        raise ValueError(f"path: got {path!r}, but {error.message}") from None
