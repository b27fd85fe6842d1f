"""Cache policies, origin request policies and response headers policies; managed ones by their ids.

CloudFront Developer Guide, "Use managed cache policies" and the two pages beside it.
"""

import math
from collections.abc import Iterator

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake, Place
from edgeproxy.config.policies import AllExcept, CachePolicySection, Choice, Whitelist
from edgeproxy.config.response_headers import ResponseHeadersPolicySection, SecurityHeadersConfig
from edgeproxy.config.units import duration_text
from edgeproxy.stack.errors import Note, mistake, note
from edgeproxy.stack.intrinsics import Tree, logical_id, ref, sub

CACHE = {
    "CachingOptimized": "658327ea-f89d-4fab-a63d-7e88639e58f6",
    "CachingOptimizedForUncompressedObjects": "b2884449-e4de-46a7-ac36-70bc7f1ddd6d",
    "CachingDisabled": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
    "UseOriginCacheControlHeaders": "83da9c7e-98b4-4e11-a168-04f0df8e2c65",
    "UseOriginCacheControlHeaders-QueryStrings": "4cc15a8a-d715-48a4-82b8-cc0b614638fe",
    "Elemental-MediaPackage": "08627262-05a9-4f76-9ded-b50ca2e3a84f",
}
ORIGIN_REQUEST = {
    "AllViewer": "216adef6-5c7f-47e4-b989-5492eafa07d3",
    "AllViewerExceptHostHeader": "b689b0a8-53d0-40ab-baf2-68738e2966ac",
    "CORS-CustomOrigin": "59781a5b-3903-41f3-afcb-af62929ccde1",
    "CORS-S3Origin": "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf",
    "HostHeaderOnly": "bf0718e1-ba1e-49d1-88b1-f726733018ae",
    "UserAgentRefererHeaders": "acba4595-bd28-49b8-b9fe-13317c0390fa",
    "Elemental-MediaTailor-PersonalizedManifests": "775133bc-15f2-49f9-abea-afb2e0bf67d2",
}
RESPONSE_HEADERS = {
    "SimpleCORS": "60669652-455b-4ae9-85a4-c4c02393f86c",
    "CORS-With-Preflight": "5cc3b908-e619-4b99-88e5-2cf7f45965bd",
    "SecurityHeadersPolicy": "67f7725c-6f97-4210-82d7-5512b31e9d03",
    "CORS-and-SecurityHeadersPolicy": "e61eb60c-9c35-4d20-a928-2b84e02af89c",
    "CORS-with-preflight-and-SecurityHeadersPolicy": "eaab4381-ed33-4a86-88ca-d9558dc6cd63",
}
_MOST_NAMES = 10
"""Of each kind in one policy.  CloudFront Developer Guide, "Quotas"."""


def cache_id(name: str) -> object:
    """What a behaviour says of its cache policy."""
    return CACHE.get(name.removeprefix("Managed-")) or ref(_cache(name))


def origin_request_id(name: str) -> object:
    """What a behaviour says of its origin request policy."""
    return ORIGIN_REQUEST.get(name.removeprefix("Managed-")) or ref(_origin_request(name))


def response_headers_id(name: str) -> object:
    """What a behaviour says of its response headers policy."""
    return RESPONSE_HEADERS.get(name.removeprefix("Managed-")) or ref(_response_headers(name))


def _cache(name: str) -> str:
    return f"{logical_id(name)}CachePolicy"


def _origin_request(name: str) -> str:
    return f"{logical_id(name)}OriginRequestPolicy"


def _response_headers(name: str) -> str:
    return f"{logical_id(name)}ResponseHeadersPolicy"


def policies(config: Config) -> list[dict[str, Tree]]:
    """The configuration's own policies, each as a resource by its logical id."""
    made: list[tuple[str, Tree]] = []
    for name, cache in config.cache_policies.items():
        made.append((_cache(name), _resource("CachePolicy", _cache(name), _cache_config(cache))))
    for name, request in config.origin_request_policies.items():
        described = {
            "HeadersConfig": _choice("Header", "Headers", request.headers, all_of="allViewer"),
            "CookiesConfig": _choice("Cookie", "Cookies", request.cookies),
            "QueryStringsConfig": _choice("QueryString", "QueryStrings", request.query),
        }
        request_id = _origin_request(name)
        made.append((request_id, _resource("OriginRequestPolicy", request_id, described)))
    for name, response in config.response_headers_policies.items():
        response_id, described = _response_headers(name), _response_config(response)
        made.append((response_id, _resource("ResponseHeadersPolicy", response_id, described)))
    return [{name: resource} for name, resource in made]


def _resource(kind: str, name: str, described: Tree) -> Tree:
    # Names are the account's, not the stack's.
    named = {"Name": sub(f"${{AWS::StackName}}-{name}"), **described}
    return {"Type": f"AWS::CloudFront::{kind}", "Properties": {f"{kind}Config": named}}


def _cache_config(policy: CachePolicySection) -> Tree:
    headers: Choice = Whitelist(whitelist=policy.headers) if policy.headers else "none"
    return {
        "MinTTL": math.ceil(policy.min_ttl),
        "DefaultTTL": math.ceil(policy.default_ttl),
        "MaxTTL": math.ceil(policy.max_ttl),
        "ParametersInCacheKeyAndForwardedToOrigin": {
            "EnableAcceptEncodingGzip": policy.gzip,
            "EnableAcceptEncodingBrotli": policy.brotli,
            "HeadersConfig": _choice("Header", "Headers", headers),
            "CookiesConfig": _choice("Cookie", "Cookies", policy.cookies),
            "QueryStringsConfig": _choice("QueryString", "QueryStrings", policy.query),
        },
    }


def _choice(kind: str, names: str, choice: Choice, *, all_of: str = "all") -> Tree:
    match choice:
        case Whitelist(whitelist=chosen):
            return {f"{kind}Behavior": "whitelist", names: list(chosen)}
        case AllExcept(all_except=chosen):
            return {f"{kind}Behavior": "allExcept", names: list(chosen)}
        case "all":
            return {f"{kind}Behavior": all_of}
        case _:
            return {f"{kind}Behavior": "none"}


def _response_config(policy: ResponseHeadersPolicySection) -> Tree:
    made: Tree = {}
    if (cors := policy.cors_config) is not None:
        made["CorsConfig"] = {
            "AccessControlAllowOrigins": {"Items": list(cors.access_control_allow_origins)},
            "AccessControlAllowHeaders": {"Items": list(cors.access_control_allow_headers)},
            "AccessControlAllowMethods": {"Items": list(cors.access_control_allow_methods)},
            "AccessControlAllowCredentials": cors.access_control_allow_credentials,
            "OriginOverride": cors.origin_override,
        }
        if cors.access_control_expose_headers:
            exposed = {"Items": list(cors.access_control_expose_headers)}
            made["CorsConfig"]["AccessControlExposeHeaders"] = exposed
        if cors.access_control_max_age_sec is not None:
            made["CorsConfig"]["AccessControlMaxAgeSec"] = cors.access_control_max_age_sec
    if policy.security_headers_config is not None:
        made["SecurityHeadersConfig"] = _security(policy.security_headers_config)
    if policy.custom_headers_config:
        made["CustomHeadersConfig"] = {
            "Items": [
                {"Header": custom.header, "Value": custom.value, "Override": custom.override}
                for custom in policy.custom_headers_config
            ]
        }
    if policy.remove_headers_config:
        made["RemoveHeadersConfig"] = {"Items": [{"Header": name} for name in policy.remove_headers_config]}
    if (timing := policy.server_timing_headers_config) is not None:
        made["ServerTimingHeadersConfig"] = {"Enabled": timing.enabled, "SamplingRate": timing.sampling_rate}
    return made


def _security(section: SecurityHeadersConfig) -> Tree:
    made: Tree = {}
    if (csp := section.content_security_policy) is not None:
        made["ContentSecurityPolicy"] = {
            "ContentSecurityPolicy": csp.content_security_policy,
            "Override": csp.override,
        }
    if (options := section.content_type_options) is not None:
        made["ContentTypeOptions"] = {"Override": options.override}
    if (frame := section.frame_options) is not None:
        made["FrameOptions"] = {"FrameOption": frame.frame_option, "Override": frame.override}
    if (referrer := section.referrer_policy) is not None:
        made["ReferrerPolicy"] = {"ReferrerPolicy": referrer.referrer_policy, "Override": referrer.override}
    if (transport := section.strict_transport_security) is not None:
        made["StrictTransportSecurity"] = {
            "AccessControlMaxAgeSec": transport.access_control_max_age_sec,
            "IncludeSubdomains": transport.include_subdomains,
            "Preload": transport.preload,
            "Override": transport.override,
        }
    if (xss := section.xss_protection) is not None:
        made["XSSProtection"] = {"Protection": xss.protection, "Override": xss.override}
        if xss.mode_block:
            made["XSSProtection"]["ModeBlock"] = True
        if xss.report_uri is not None:
            made["XSSProtection"]["ReportUri"] = xss.report_uri
    return made


def said_of_policies(config: Config) -> Iterator[Mistake | Note]:
    """What CloudFront refuses of them, or rounds."""
    for name, cache in config.cache_policies.items():
        place: Place = ("cache_policies", name)
        for setting in ("min_ttl", "default_ttl", "max_ttl"):
            seconds = getattr(cache, setting)
            if seconds != math.ceil(seconds):
                yield note((*place, setting), duration_text(seconds), f"is {math.ceil(seconds)}s there")
        keyed = [word for word in ("query", "headers", "cookies") if getattr(cache, word) not in ("none", ())]
        keyed += [word for word in ("gzip", "brotli") if getattr(cache, word)]
        if not cache.max_ttl and keyed:
            wanted = (
                f"{keyed[0]} in an origin request policy, as CloudFront takes no key where nothing is kept"
            )
            yield mistake((*place, "max_ttl"), "0s", wanted)
        for setting in ("query", "headers", "cookies"):
            yield from _too_many((*place, setting), getattr(cache, setting))
    for name, request in config.origin_request_policies.items():
        place = ("origin_request_policies", name)
        for setting in ("query", "headers", "cookies"):
            yield from _too_many((*place, setting), getattr(request, setting))
        if isinstance(request.headers, Whitelist):
            # Developer Guide, "Configure CloudFront to forward the Authorization header".
            if "authorization" in (header.lower() for header in request.headers.whitelist):
                wanted = "Authorization in a cache policy's headers, or headers: all"
                yield mistake((*place, "headers"), list(request.headers.whitelist), wanted)


def _too_many(place: Place, choice: object) -> Iterator[Mistake]:
    match choice:
        case Whitelist(whitelist=names) | AllExcept(all_except=names):
            pass
        case tuple():
            names = choice
        case _:
            names = ()
    if len(names) > _MOST_NAMES:
        yield mistake(place, list(names), f"at most {_MOST_NAMES} names")
