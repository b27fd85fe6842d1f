"""Which behaviour a request falls to, and whether it is let in."""

from dataclasses import replace

import pytest

from edgeproxy.core.behavior import CACHEABLE_METHODS, METHODS, Behavior, admit, behavior_for, reading
from edgeproxy.core.errors import RequestError
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy
from edgeproxy.core.message import Request
from edgeproxy.core.paths import Pattern, normalise
from edgeproxy.core.posts import Query
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy
from tests.core.conftest import rows

READS = frozenset({"GET", "HEAD"})


def behavior(pattern: str, methods: frozenset[str] = READS) -> Behavior:
    return Behavior(Pattern(pattern), "site", CachePolicy(), OriginRequestPolicy(), methods, READS)


BEHAVIORS = tuple(map(behavior, ("/api/*", "/img/special/*", "img/*.jpg", "/img/*", "/a?c", "*")))


@pytest.mark.parametrize(
    ("path", "pattern"),
    rows(
        ("a match", "/api/x", "/api/*", "CloudFront, Path pattern"),
        ("the first in order", "/img/special/a.jpg", "/img/special/*", "CloudFront, Path pattern"),
        ("not the most special", "/img/a.jpg", "img/*.jpg", "CloudFront, Path pattern"),
        ("the default", "/", "*", "CloudFront, Path pattern"),
        ("case matters", "/API/x", "*", "CloudFront, Path pattern"),
        ("the folder itself", "/api", "*", "CloudFront, Path pattern"),
        ("runs of slashes", "//api///x", "/api/*", "CloudFront, Path pattern"),
        ("dot segments", "/img/../api/./x", "/api/*", "CloudFront, Path pattern"),
        ("out of a folder", "/api/../x", "*", "CloudFront, Path pattern"),
        ("escaped letters", "/%61pi/x", "/api/*", "RFC 3986 §6.2.2.2"),
        ("escaped dot segments", "/img/%2e%2E/api/x", "/api/*", "RFC 3986 §6.2.2.2"),
    ),
)
def test_behavior_for(path: str, pattern: str) -> None:
    assert behavior_for(normalise(path, allow_ambiguous=True), BEHAVIORS).pattern.text == pattern


def test_the_last_one_is_the_default_whatever_its_pattern() -> None:
    assert behavior_for("/x", BEHAVIORS[:2]) is BEHAVIORS[1]


@pytest.mark.parametrize(
    ("method", "allowed", "has_body", "expected"),
    rows(
        ("a read", "GET", READS, False, None, "CloudFront, Allowed HTTP methods"),
        (
            "a write that is allowed",
            "POST",
            frozenset({*READS, "POST"}),
            True,
            None,
            "CloudFront, Allowed HTTP methods",
        ),
        ("OPTIONS may have a body", "OPTIONS", frozenset({*READS, "OPTIONS"}), True, None, "RFC 9110 §9.3.7"),
        (
            "a write that is not",
            "POST",
            READS,
            True,
            (
                403,
                Reason.METHOD_NOT_ALLOWED,
                "method POST is not allowed for this path, want one of GET, HEAD",
            ),
            "CloudFront, HTTP 403",
        ),
        (
            "names in a fixed order",
            "PUT",
            frozenset({"DELETE", "OPTIONS", "HEAD", "GET"}),
            False,
            (
                403,
                Reason.METHOD_NOT_ALLOWED,
                "method PUT is not allowed for this path, want one of GET, HEAD, OPTIONS, DELETE",
            ),
            "CloudFront, HTTP 403",
        ),
        (
            "no method at all",
            "BREW",
            READS,
            False,
            (501, Reason.METHOD_UNKNOWN, "method BREW is not known here"),
            "RFC 9110 §9.1",
        ),
        (
            "case matters",
            "get",
            READS,
            False,
            (501, Reason.METHOD_UNKNOWN, "method get is not known here"),
            "RFC 9110 §9.1",
        ),
        (
            "CONNECT and TRACE are not served",
            "TRACE",
            READS,
            False,
            (501, Reason.METHOD_UNKNOWN, "method TRACE is not known here"),
            "CloudFront, Allowed HTTP methods",
        ),
        (
            "a GET with a body",
            "GET",
            READS,
            True,
            (403, Reason.BODY_NOT_ALLOWED, "a GET request must not have a body"),
            "CloudFront, Request and response behavior",
        ),
        (
            "a HEAD with a body",
            "HEAD",
            READS,
            True,
            (403, Reason.BODY_NOT_ALLOWED, "a HEAD request must not have a body"),
            "CloudFront, Request and response behavior",
        ),
    ),
)
def test_admit(
    method: str, allowed: frozenset[str], has_body: bool, expected: tuple[int, Reason, str] | None
) -> None:
    request, chosen = Request(method, "/a"), behavior("*", allowed)
    if expected is None:
        admit(request, chosen, has_body=has_body)
        return
    with pytest.raises(RequestError) as raised:
        admit(request, chosen, has_body=has_body)
    assert (raised.value.status, raised.value.reason, raised.value.message) == expected


def test_methods_are_cloudfronts() -> None:
    """CloudFront, Allowed HTTP methods."""
    assert METHODS == ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")
    assert {"GET", "HEAD", "OPTIONS"} == CACHEABLE_METHODS


@pytest.mark.parametrize(
    ("before", "ttl_s", "expected"),
    rows(
        ("caching is off", TtlPolicy(0, 0, 0), 30, TtlPolicy(0, 30, 30), "our own"),
        ("longer elsewhere", TtlPolicy(0, 86_400, 31_536_000), 2, TtlPolicy(0, 2, 2), "our own"),
        ("forced", TtlPolicy(60, 60, 60), 3600, TtlPolicy(60, 3600, 3600), "our own"),
        ("forced for longer", TtlPolicy(60, 60, 60), 2, TtlPolicy(2, 2, 2), "our own"),
        ("guessed", TtlPolicy(0, 0, 60, True, 0.1), 5, TtlPolicy(0, 5, 5, True), "our own"),
    ),
)
def test_a_post_that_reads_is_kept_as_long_as_was_said(
    before: TtlPolicy, ttl_s: float, expected: TtlPolicy
) -> None:
    usual = replace(behavior("*"), cache=CachePolicy(before, KeyPolicy(gzip=True)), compress=True)
    found = reading(usual, Query(ttl_s, "digest"))
    assert found.cache.ttl == expected
    assert found.cached_methods == {*READS, "POST"}
    assert (found.compress, found.cache.key.gzip) == (False, False)
    assert found.cache.errors.min_s(503) == 0
