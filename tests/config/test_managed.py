"""The managed policies, against CloudFront's tables."""

import pytest

from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES, RESPONSE_HEADERS_POLICIES

DAY, YEAR = 86_400, 31_536_000
HOST_AND_METHODS = {"host", "origin", "x-http-method-override", "x-http-method", "x-method-override"}


@pytest.mark.parametrize(
    ("name", "ttls", "headers", "cookies", "query", "codings"),
    [
        ("CachingOptimized", (1, DAY, YEAR), set(), "none", set(), (True, True)),
        ("CachingOptimizedForUncompressedObjects", (1, DAY, YEAR), set(), "none", set(), (False, False)),
        ("CachingDisabled", (0, 0, 0), set(), "none", set(), (False, False)),
        ("UseOriginCacheControlHeaders", (0, 0, YEAR), HOST_AND_METHODS, "all", set(), (True, True)),
        (
            "Elemental-MediaPackage",
            (0, DAY, YEAR),
            {"origin"},
            "none",
            {"aws.manifestfilter", "start", "end", "m"},
            (True, False),
        ),
    ],
)
def test_cache_policies(
    name: str,
    ttls: tuple[int, ...],
    headers: set[str],
    cookies: str,
    query: set[str],
    codings: tuple[bool, ...],
) -> None:
    """CloudFront, Use managed cache policies."""
    policy = CACHE_POLICIES[name]
    assert (policy.ttl.min_s, policy.ttl.default_s, policy.ttl.max_s) == ttls
    assert (policy.key.headers.names, policy.key.cookies.pick, policy.key.query.names) == (
        headers,
        cookies,
        query,
    )
    assert (policy.key.gzip, policy.key.brotli) == codings


def test_the_names() -> None:
    """CloudFront, Use managed origin request policies; Use managed response headers policies."""
    assert set(ORIGIN_REQUEST_POLICIES) == {
        "AllViewer",
        "AllViewerExceptHostHeader",
        "CORS-CustomOrigin",
        "CORS-S3Origin",
        "Elemental-MediaTailor-PersonalizedManifests",
        "HostHeaderOnly",
        "UserAgentRefererHeaders",
    }
    assert set(RESPONSE_HEADERS_POLICIES) == {
        "SimpleCORS",
        "CORS-With-Preflight",
        "SecurityHeadersPolicy",
        "CORS-and-SecurityHeadersPolicy",
        "CORS-with-preflight-and-SecurityHeadersPolicy",
    }
