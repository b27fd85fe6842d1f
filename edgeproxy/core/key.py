"""What makes two requests one object: the cache key, and variants by `Vary`.

RFC 9111 §2, §4.1; CloudFront Developer Guide, "Understanding the cache key".
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.core.message import Headers, Request

# RFC 9110 §12.4.2.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_WEIGHT_0 = re.compile(r"[ \t]*q=0(?:\.0{0,3})?[ \t]*", re.IGNORECASE)


class Pick(StrEnum):
    """CloudFront's ways to choose among names."""

    NONE = "none"
    ALL = "all"
    ONLY = "whitelist"
    EXCEPT = "all_except"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which names count. Header names are lower case here; query and cookie names keep their case."""

    pick: Pick = Pick.NONE
    names: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        """Whether `name` counts."""
        match self.pick:
            case Pick.NONE:
                return False
            case Pick.ALL:
                return True
            case Pick.ONLY:
                return name in self.names
            case Pick.EXCEPT:
                return name not in self.names


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What of a request goes into its key; all of it is also sent to the origin."""

    query: Selection = Selection()
    headers: Selection = Selection()
    cookies: Selection = Selection()
    gzip: bool = False
    brotli: bool = False


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The primary key. GET and HEAD share one; OPTIONS has its own."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str | None], ...] = ()
    cookies: str = ""
    body: str = ""
    """Digest of what a POST that reads asks for."""

    def __str__(self) -> str:
        target = f"{self.path}?{self.query}" if self.query else self.path
        fields = "".join(f" {name}={'-' if value is None else value}" for name, value in self.headers)
        cookies, body = " +cookies" if self.cookies else "", f" body={self.body[:12]}" if self.body else ""
        return f"{self.method} {target}{fields}{cookies}{body}"


def cache_key(request: Request, policy: KeyPolicy) -> CacheKey:
    """The key of `request`: path and method always, the rest as `policy` says."""
    return CacheKey(
        method="GET" if request.method == "HEAD" else request.method,
        path=request.path,
        query=selected_query(request.query, policy.query),
        headers=_key_headers(request, policy),
        cookies=selected_cookies(request.headers, policy.cookies),
    )


def _key_headers(request: Request, policy: KeyPolicy) -> tuple[tuple[str, str | None], ...]:
    fields: list[tuple[str, str | None]] = []
    if policy.gzip or policy.brotli:
        coding = accept_encoding(request.headers, policy)
        fields.append(("accept-encoding", None if coding == "identity" else coding))
    if policy.headers.names:
        # What `Connection` lists is not forwarded, so it must not count either.
        headers = request.headers.end_to_end()
        for name in sorted(policy.headers.names):
            fields.append((name, request.host if name == "host" else headers.get(name)))
    return tuple(fields)


def selected_query(query: str, selection: Selection) -> str:
    """The parameters of `query` that count, in the order they came; "&" alone separates them."""
    match selection.pick:
        case Pick.NONE:
            return ""
        case Pick.ALL:
            return query
        case _:
            return "&".join(p for p in query.split("&") if p and selection.takes(p.partition("=")[0]))


def selected_cookies(headers: Headers, selection: Selection) -> str:
    """The cookies that count, sorted by name, as a `Cookie` value; "" for none."""
    if selection.pick is Pick.NONE:
        return ""
    pairs = (pair.strip() for line in headers.all("cookie") for pair in line.split(";"))
    kept = [p for p in pairs if "=" in p and not p.startswith("$") and selection.takes(p.partition("=")[0])]
    return "; ".join(sorted(kept, key=lambda pair: pair.partition("=")[0]))


def accept_encoding(headers: Headers, policy: KeyPolicy) -> str | None:
    """`Accept-Encoding` as the key and the origin get it: "br,gzip", "br", "gzip", "identity" or None.

    CloudFront Developer Guide, "Compression support"; a coding with `;q=0` is not accepted
    (RFC 9110 §12.4.2).
    """
    value = headers.get("accept-encoding")
    if value is None:
        return None
    accepted = {
        coding.strip().lower()
        for coding, _, weight in (item.partition(";") for item in value.split(","))
        if not _WEIGHT_0.fullmatch(weight)
    }
    normal = [c for c, enabled in (("br", policy.brotli), ("gzip", policy.gzip)) if enabled and c in accepted]
    return ",".join(normal) or "identity"


def vary_names(headers: Headers) -> tuple[str, ...]:
    """The field names of `Vary`, lower case and sorted; "*" stays.  RFC 9110 §12.5.5.

    What is no name counts as "*": we cannot tell on what the answer depends.
    """
    value = headers.get("vary")
    if value is None:
        return ()
    names = {name.strip(" \t").lower() for name in value.split(",")} - {""}
    return tuple(sorted({name if _NAME.fullmatch(name) else "*" for name in names}))


def variant(names: tuple[str, ...], sent: Headers) -> tuple[str | None, ...]:
    """The values, in the request that was sent to the origin, of the fields its answer varied on.

    RFC 9111 §4.1. What is not forwarded cannot have changed the answer, so it is the forwarded
    request that counts.
    """
    return tuple(sent.get(name) for name in names)
