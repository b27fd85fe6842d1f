"""What one section says of another: names that must exist, settings that must go together.

Looks at the tree as it was written, so that these mistakes are told along with those of the schema;
what the schema will refuse is passed over here.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from edgeproxy.config.backfill import BackfillRule
from edgeproxy.config.kinds import Kind, Whole
from edgeproxy.config.managed import (
    CACHE_POLICIES,
    ORIGIN_REQUEST_POLICIES,
    REFUSED,
    RESPONSE_HEADERS_POLICIES,
)
from edgeproxy.config.mistakes import Mistake, Place, dotted, shown
from edgeproxy.config.schema import LEAST_BESIDE_DISK, Admin, Cache, Server
from edgeproxy.config.units import Address, Duration, Size, address, size_text

T = TypeVar("T")

_MAX_VISIBILITY_S = 43_200
"""How long a message of SQS can be held."""
_EVERYTHING = ("*", "/*")


def broken_references(tree: dict[str, Any]) -> Iterator[Mistake]:
    """Every reference in a configuration tree that leads nowhere, and every rule that never applies."""
    yield from _taken_names(tree)
    yield from _group_members(tree)
    yield from _behavior_names(tree)
    yield from _host_for_s3(tree)
    yield from _unreached(_listed(tree, "behaviors"))
    yield from _sources(tree)
    yield from _unreached(_rules(tree))
    yield from _idle_rules(tree)
    yield from _kept_jobs(tree)
    yield from _shared_jobs(tree)
    yield from _listeners(tree)
    yield from _memory_beside_disk(tree)


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}


def _sections(tree: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The sections that have names, such as origins."""
    return {key: value for key, value in _section(tree, name).items() if isinstance(value, dict)}


def _listed(tree: dict[str, Any], name: str) -> list[tuple[Place, dict[str, Any]]]:
    """The sections that stand in a list, each with its place."""
    listed = tree.get(name)
    items = enumerate(listed if isinstance(listed, list) else ())
    return [((name, index), item) for index, item in items if isinstance(item, dict)]


def _behaviors(tree: dict[str, Any]) -> list[tuple[Place, dict[str, Any]]]:
    default = tree.get("default_behavior")
    last: list[tuple[Place, dict[str, Any]]] = (
        [(("default_behavior",), default)] if isinstance(default, dict) else []
    )
    return [*_listed(tree, "behaviors"), *last]


def _rules(tree: dict[str, Any]) -> list[tuple[Place, dict[str, Any]]]:
    return [(("backfill", *place), rule) for place, rule in _listed(_section(tree, "backfill"), "rules")]


def _taken_names(tree: dict[str, Any]) -> Iterator[Mistake]:
    for name in _section(tree, "origin_groups"):
        if name in _section(tree, "origins"):
            yield Mistake(dotted(("origin_groups", name)), "has the name of an origin", "a name of its own")
    for section, managed in (
        ("cache_policies", CACHE_POLICIES),
        ("origin_request_policies", ORIGIN_REQUEST_POLICIES),
        ("response_headers_policies", RESPONSE_HEADERS_POLICIES),
    ):
        for name in _section(tree, section):
            if _managed(name) in managed:
                yield Mistake(
                    dotted((section, name)), "has the name of a managed policy", "a name of its own"
                )


def _managed(name: str) -> str:
    return name.removeprefix("Managed-")


def _group_members(tree: dict[str, Any]) -> Iterator[Mistake]:
    origins = _section(tree, "origins")
    for name, group in _sections(tree, "origin_groups").items():
        members = group.get("members")
        if not isinstance(members, list) or len(members) != 2:
            continue
        place = ("origin_groups", name, "members")
        for index, member in enumerate(members):
            yield from _unknown((*place, index), member, origins)
        if members[0] == members[1]:
            yield Mistake(dotted(place), f"got {shown(members)}", "two different origins")


def _behavior_names(tree: dict[str, Any]) -> Iterator[Mistake]:
    targets = [*_section(tree, "origins"), *_section(tree, "origin_groups")]
    for setting, managed, own in (
        ("target_origin", {}, targets),
        ("cache_policy", CACHE_POLICIES, _section(tree, "cache_policies")),
        ("origin_request_policy", ORIGIN_REQUEST_POLICIES, _section(tree, "origin_request_policies")),
        ("response_headers_policy", RESPONSE_HEADERS_POLICIES, _section(tree, "response_headers_policies")),
    ):
        for place, behavior in _behaviors(tree):
            name = behavior.get(setting)
            if isinstance(name, str) and name not in own and managed and _managed(name) in REFUSED:
                yield Mistake(dotted((*place, setting)), f"got {shown(name)}", REFUSED[_managed(name)])
            elif not isinstance(name, str) or _managed(name) not in managed:
                yield from _unknown((*place, setting), name, [*own, *managed])


def _unknown(place: Place, name: object, known: Iterable[str]) -> Iterator[Mistake]:
    # A name that the schema refuses is no proposal.
    names = sorted({other for other in known if other.isprintable()})
    if isinstance(name, str) and name and names and name not in names:
        yield Mistake(dotted(place), f"got {shown(name)}", f"one of {', '.join(names)}")


def _host_for_s3(tree: dict[str, Any]) -> Iterator[Mistake]:
    """S3 gets its own Host whatever the viewer's is: in the key it would only split the cache.

    CloudFront refuses it too: Developer Guide, "Understanding cache policies", `Host`.
    """
    policies = _sections(tree, "cache_policies")
    for place, behavior in _behaviors(tree):
        name, target = behavior.get("cache_policy"), behavior.get("target_origin")
        headers = policies.get(name, {}).get("headers") if isinstance(name, str) else None
        if not isinstance(headers, list) or not isinstance(target, str):
            continue
        if "host" in (header.lower() for header in headers if isinstance(header, str)):
            if any(_is_s3(tree, origin) for origin in _origins_behind(tree, target)):
                seen = f"got {shown(name)}, which has Host in its key"
                yield Mistake(dotted((*place, "cache_policy")), seen, "one without for an S3 origin")


def _origins_behind(tree: dict[str, Any], target: str) -> list[object]:
    group = _sections(tree, "origin_groups").get(target)
    members = group.get("members") if group is not None else [target]
    return members if isinstance(members, list) else []


def _is_s3(tree: dict[str, Any], origin: object) -> bool:
    return isinstance(origin, str) and _sections(tree, "origins").get(origin, {}).get("type") == "s3"


def _unreached(sections: list[tuple[Place, dict[str, Any]]]) -> Iterator[Mistake]:
    """Patterns that never match because one above them takes all that they could."""
    above: dict[str, Place] = {}
    for place, section in sections:
        pattern = section.get("path_pattern", BackfillRule.model_fields["path_pattern"].default)
        if not isinstance(pattern, str):
            continue
        rooted = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
        taker = next((above[p] for p in (*_EVERYTHING, rooted) if p in above), None)
        if taker is None:
            above[rooted] = place
        else:
            seen = f"got {shown(pattern)}, of which {dotted(taker)} takes everything"
            yield Mistake(dotted((*place, "path_pattern")), seen, "the wider pattern below the narrower")


def _sources(tree: dict[str, Any]) -> Iterator[Mistake]:
    """Sources and what rules say of them."""
    origins, sources = _section(tree, "origins"), _section(tree, "backfill").get("sources")
    named = sources if isinstance(sources, dict) else {}
    for name, source in named.items():
        place: Place = ("backfill", "sources", name)
        if name in origins:
            yield Mistake(dotted(place), "has the name of an origin", "a name of its own")
        if not isinstance(source, dict):
            continue
        yield from _unknown((*place, "origin"), source.get("origin"), origins)
        redirects = _read(Whole(0, 10), source.get("follow_redirects", "0"))
        if redirects and _is_s3(tree, source.get("origin")):
            wanted = "0 for an s3 origin, which sends nobody elsewhere"
            yield Mistake(dotted((*place, "follow_redirects")), f"got {redirects}", wanted)
    for place, rule in _rules(tree):
        asked = rule.get("sources")
        for index, name in enumerate(asked if isinstance(asked, list) else ()):
            if named:
                yield from _unknown((*place, "sources", index), name, named)
            else:
                yield Mistake(
                    dotted((*place, "sources", index)), f"got {shown(name)}", "a name in backfill.sources"
                )


def _idle_rules(tree: dict[str, Any]) -> Iterator[Mistake]:
    """Rules for which no S3 primary ever fails over: nothing would ever be copied by them.

    One that makes the viewer wait and says where objects come from needs a bucket alone.
    """
    if any(
        origin.get("type") not in ("s3", "http", "pool") for origin in _sections(tree, "origins").values()
    ):
        return
    filled: set[str] = set()
    for name, group in _sections(tree, "origin_groups").items():
        statuses = group.get("failover_on")
        if _is_s3(tree, next(iter(_origins_behind(tree, name)), None)) and isinstance(statuses, list):
            filled |= {str(status) for status in statuses}
    has_bucket = any(_is_s3(tree, behavior.get("target_origin")) for _, behavior in _behaviors(tree))
    for place, rule in _rules(tree):
        statuses = rule.get("on_status") or ["403", "404"]
        if str(rule.get("enabled", "true")).lower() == "false" or not isinstance(statuses, list):
            continue
        if has_bucket and rule.get("mode") in ("generate", "redirect") and rule.get("sources"):
            continue
        if filled.isdisjoint(map(str, statuses)):
            wanted = "an origin group with an s3 origin first and such a status in failover_on"
            yield Mistake(dotted(place), f"can never apply to {shown(statuses)}", wanted)


def _kept_jobs(tree: dict[str, Any]) -> Iterator[Mistake]:
    backfill, has_folder = _section(tree, "backfill"), bool(_section(tree, "state").get("folder"))
    queue = backfill.get("queue")
    if queue == "sqlite" and not has_folder:
        yield Mistake("state.folder", "is missing while backfill.queue is sqlite", "a folder")
    if _section(tree, "health").get("board") == "sqlite" and not has_folder:
        yield Mistake("state.folder", "is missing while health.board is sqlite", "a folder")
    is_in_memory = queue == "memory" or (queue is None and not has_folder)
    if is_in_memory and _read(Whole(0, 0), backfill.get("concurrency", "1")) is not None:
        seen = "got 0 while backfill.queue is memory, in which no other process finds jobs"
        yield Mistake("backfill.concurrency", seen, "1 or more")


def _shared_jobs(tree: dict[str, Any]) -> Iterator[Mistake]:
    """What a queue of SQS wants of the others."""
    backfill = _section(tree, "backfill")
    if backfill.get("queue") != "sqs":
        return
    sqs = _section(backfill, "sqs")
    if not sqs.get("url") and not sqs.get("name"):
        yield Mistake(
            "backfill.sqs.url", "is missing while backfill.queue is sqs", "the queue's url, or its name"
        )
    lease = _read(Duration(), backfill.get("lease", "30s"))
    if lease is not None and lease > _MAX_VISIBILITY_S:
        yield Mistake(
            "backfill.lease", f"got {shown(backfill['lease'])} while backfill.queue is sqs", "12h or less"
        )
    group = sqs.get("group")
    filled = [
        name
        for name in _sections(tree, "origin_groups")
        if _is_s3(tree, next(iter(_origins_behind(tree, name)), None))
    ]
    alone = {str(behavior.get("target_origin")) for _, behavior in _behaviors(tree)}
    filled += sorted(name for name in alone if _is_s3(tree, name))
    if isinstance(group, str) and group not in filled:
        wanted = f"one of {', '.join(filled)}" if filled else "an origin group with an s3 origin first"
        yield Mistake("backfill.sqs.group", f"got {shown(group)}", wanted)


def _listeners(tree: dict[str, Any]) -> Iterator[Mistake]:
    server = _address_in(tree, "server", Server.model_fields["listen"].default)
    admin = _address_in(tree, "admin", Admin.model_fields["listen"].default)
    if admin is not None and not admin.is_loopback and not _section(tree, "admin").get("token"):
        wanted = "a token, or a loopback address"
        yield Mistake("admin.token", f"is missing while admin.listen is {admin}", wanted)
    if server is not None and admin is not None and admin.meets(server):
        yield Mistake("admin.listen", f"got {admin} while server.listen is {server}", "a port of its own")


def _memory_beside_disk(tree: dict[str, Any]) -> Iterator[Mistake]:
    """What goes to disk passes through memory, of which each worker has its part."""
    cache = _section(tree, "cache")
    workers = _read(Whole(1, 256), _section(tree, "server").get("workers", "1"))
    memory = _read(Size(), cache.get("memory", f"{Cache.model_fields['memory'].default}B"))
    if not isinstance(cache.get("disk"), dict) or workers is None or memory is None:
        return
    least = LEAST_BESIDE_DISK * workers
    if memory < least:
        why = "a disk" if workers == 1 else f"a disk and {workers} workers"
        yield Mistake(
            "cache.memory", f"got {shown(size_text(memory))} beside {why}", f"{size_text(least)} or more"
        )


def _read(kind: Kind[T], value: object) -> T | None:
    """The value; None if it is none, which the schema tells."""
    try:
        return kind.read(value)
    except ValueError:
        return None


def _address_in(tree: dict[str, Any], section: str, default: Address) -> Address | None:
    """Where `section` listens; None if that is no address, which the schema tells."""
    listen = _section(tree, section).get("listen")
    if listen is None:
        return default
    try:
        return address(listen)
    except ValueError:
        return None
