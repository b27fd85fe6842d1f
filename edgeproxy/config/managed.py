"""CloudFront's managed policies, usable by name (with or without the prefix `Managed-`).

CloudFront Developer Guide, "Use managed cache policies", "Use managed origin request policies" and
"Use managed response headers policies".
"""

from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.response_headers import Cors, Field, ResponseHeadersPolicy
from edgeproxy.core.storing import CachePolicy

_ALL = Selection(Pick.ALL)
_YEAR_S = 31_536_000.0
_DAY_S = 86_400.0


def _only(*names: str) -> Selection:
    return Selection(Pick.ONLY, frozenset(names))


_ORIGIN_CONTROLLED = _only("host", "origin", "x-http-method-override", "x-http-method", "x-method-override")

CACHE_POLICIES: dict[str, CachePolicy] = {
    policy.name: policy
    for policy in (
        CachePolicy(
            TtlPolicy(1, _DAY_S, _YEAR_S), KeyPolicy(gzip=True, brotli=True), name="CachingOptimized"
        ),
        CachePolicy(TtlPolicy(1, _DAY_S, _YEAR_S), name="CachingOptimizedForUncompressedObjects"),
        CachePolicy(TtlPolicy(0, 0, 0), name="CachingDisabled"),
        CachePolicy(
            TtlPolicy(0, 0, _YEAR_S),
            KeyPolicy(headers=_ORIGIN_CONTROLLED, cookies=_ALL, gzip=True, brotli=True),
            name="UseOriginCacheControlHeaders",
        ),
        CachePolicy(
            TtlPolicy(0, 0, _YEAR_S),
            KeyPolicy(query=_ALL, headers=_ORIGIN_CONTROLLED, cookies=_ALL, gzip=True, brotli=True),
            name="UseOriginCacheControlHeaders-QueryStrings",
        ),
        CachePolicy(
            TtlPolicy(0, _DAY_S, _YEAR_S),
            KeyPolicy(
                query=_only("aws.manifestfilter", "start", "end", "m"), headers=_only("origin"), gzip=True
            ),
            name="Elemental-MediaPackage",
        ),
    )
}

ORIGIN_REQUEST_POLICIES: dict[str, OriginRequestPolicy] = {
    policy.name: policy
    for policy in (
        OriginRequestPolicy(_ALL, _ALL, _ALL, name="AllViewer"),
        OriginRequestPolicy(
            Selection(Pick.EXCEPT, frozenset({"host"})), _ALL, _ALL, name="AllViewerExceptHostHeader"
        ),
        OriginRequestPolicy(_only("origin"), name="CORS-CustomOrigin"),
        OriginRequestPolicy(
            _only("origin", "access-control-request-headers", "access-control-request-method"),
            name="CORS-S3Origin",
        ),
        OriginRequestPolicy(_only("host"), name="HostHeaderOnly"),
        OriginRequestPolicy(_only("user-agent", "referer"), name="UserAgentRefererHeaders"),
        OriginRequestPolicy(
            _only(
                "origin",
                "access-control-request-headers",
                "access-control-request-method",
                "user-agent",
                "x-forwarded-for",
            ),
            query=_ALL,
            name="Elemental-MediaTailor-PersonalizedManifests",
        ),
    )
}

_SIMPLE_CORS = Cors(("*",))
_PREFLIGHT = Cors(
    ("*",), allow_methods=("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"), expose_headers=("*",)
)
_SECURITY = (
    Field("Referrer-Policy", "strict-origin-when-cross-origin", override=False),
    Field("Strict-Transport-Security", "max-age=31536000", override=False),
    Field("X-Content-Type-Options", "nosniff", override=True),
    Field("X-Frame-Options", "SAMEORIGIN", override=False),
    Field("X-XSS-Protection", "1; mode=block", override=False),
)

RESPONSE_HEADERS_POLICIES: dict[str, ResponseHeadersPolicy] = {
    policy.name: policy
    for policy in (
        ResponseHeadersPolicy(_SIMPLE_CORS, name="SimpleCORS"),
        ResponseHeadersPolicy(_PREFLIGHT, name="CORS-With-Preflight"),
        ResponseHeadersPolicy(fields=_SECURITY, name="SecurityHeadersPolicy"),
        ResponseHeadersPolicy(_SIMPLE_CORS, _SECURITY, name="CORS-and-SecurityHeadersPolicy"),
        ResponseHeadersPolicy(_PREFLIGHT, _SECURITY, name="CORS-with-preflight-and-SecurityHeadersPolicy"),
    )
}

_VIEWER = "a policy without CloudFront-Viewer-* fields: what they tell of a viewer is not known here"
_AMPLIFY = "another policy: this one is for Amplify Hosting alone"

REFUSED: dict[str, str] = {
    "Amplify": _VIEWER,
    "Amplify-Default": _AMPLIFY,
    "Amplify-DefaultNoCookies": _AMPLIFY,
    "Amplify-ImageOptimization": _AMPLIFY,
    "Amplify-StaticContent": _AMPLIFY,
    "AllViewerAndCloudFrontHeaders-2022-06": _VIEWER,
}
"""Managed policies that cannot be had here, and what to take instead."""
