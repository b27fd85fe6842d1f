"""What one section says of another: names that must exist, settings that must go together.

Looks at the raw tree, so that these mistakes are told along with those of the schema.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any, TypeAlias

from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES

Broken: TypeAlias = tuple[str, str, str]
"""Where, what was seen, what is wanted."""

# CloudFront takes these sets of methods and no others; we only ask that a cached method is allowed.
_DEFAULT_METHODS = ["GET", "HEAD"]


def broken_references(tree: dict[str, Any]) -> Iterator[Broken]:
    """Every reference in a configuration tree that leads nowhere."""
    origins, groups = _section(tree, "origins"), _section(tree, "origin_groups")
    cache_policies = [*_section(tree, "cache_policies"), *CACHE_POLICIES]
    request_policies = [*_section(tree, "origin_request_policies"), *ORIGIN_REQUEST_POLICIES]
    for name, group in groups.items():
        if name in origins:
            yield f"origin_groups.{name}", "has the name of an origin", "a name of its own"
        members = group.get("members") if isinstance(group, dict) else None
        if isinstance(members, list):
            for index, member in enumerate(members):
                yield from _unknown(f"origin_groups.{name}.members[{index}]", member, origins)
            if len(members) == 2 and members[0] == members[1]:
                yield f"origin_groups.{name}.members", f'got "{members[0]}" twice', "two different origins"
    for where, behavior in _behaviors(tree):
        yield from _unknown(f"{where}.target_origin", behavior.get("target_origin"), [*origins, *groups])
        yield from _unknown(f"{where}.cache_policy", _plain(behavior.get("cache_policy")), cache_policies)
        yield from _unknown(
            f"{where}.origin_request_policy", _plain(behavior.get("origin_request_policy")), request_policies
        )
        allowed = behavior.get("allowed_methods", _DEFAULT_METHODS)
        cached = behavior.get("cached_methods", _DEFAULT_METHODS)
        if isinstance(allowed, list) and isinstance(cached, list):
            surplus = [method for method in cached if method not in allowed and "cached_methods" in behavior]
            if surplus:
                yield f"{where}.cached_methods", f"got {surplus}", "only methods that are in allowed_methods"
    for name, policy in _section(tree, "cache_policies").items():
        if isinstance(policy, dict):
            yield from _host_for_s3(name, policy, tree)
    yield from _open_admin(_section(tree, "admin"))


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}


def _behaviors(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    listed = tree.get("behaviors")
    for index, behavior in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(behavior, dict):
            yield f"behaviors[{index}]", behavior
    if isinstance(tree.get("default_behavior"), dict):
        yield "default_behavior", tree["default_behavior"]


def _unknown(where: str, name: object, known: Iterable[str]) -> Iterator[Broken]:
    names = sorted(known)
    if isinstance(name, str) and name not in names:
        yield where, f'got "{name}"', f"one of {', '.join(names)}" if names else "a name that is defined"


def _plain(name: object) -> object:
    return name.removeprefix("Managed-") if isinstance(name, str) else name


def _host_for_s3(name: str, policy: dict[str, Any], tree: dict[str, Any]) -> Iterator[Broken]:
    """A viewer's Host in a signed request could only give a wrong signature; CloudFront refuses it too."""
    headers = policy.get("headers")
    if not isinstance(headers, list) or not any(isinstance(h, str) and h.lower() == "host" for h in headers):
        return
    for where, behavior in _behaviors(tree):
        if behavior.get("cache_policy") == name and _reaches_s3(behavior.get("target_origin"), tree):
            yield (
                f"{where}.cache_policy",
                f'got "{name}", which has Host in its key',
                "another one for an S3 origin",
            )


def _reaches_s3(target: object, tree: dict[str, Any]) -> bool:
    group = _section(tree, "origin_groups").get(target) if isinstance(target, str) else None
    members = group.get("members", ()) if isinstance(group, dict) else [target]
    origins = _section(tree, "origins")
    found = (origins.get(m) for m in members if isinstance(m, str)) if isinstance(members, list) else ()
    return any(isinstance(origin, dict) and origin.get("type") == "s3" for origin in found)


def _open_admin(admin: dict[str, Any]) -> Iterator[Broken]:
    listen = admin.get("listen", "127.0.0.1:8081")
    if isinstance(listen, str) and not admin.get("token"):
        host = listen.rpartition(":")[0].strip("[]")
        try:
            is_loopback = host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
        if host and not is_loopback:
            yield (
                "admin.token",
                f"is missing while admin.listen is {listen}",
                "a token, or a loopback address",
            )
