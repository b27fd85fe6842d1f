"""The shape of `response_headers_policies`."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator
from pydantic import Field as Setting

from edgeproxy.config.fields import Bool
from edgeproxy.config.kinds import Decimal, HeaderName, Text, Whole
from edgeproxy.config.section import EachOnce, EachOnceInAnyCase, Section, refused
from edgeproxy.core.response_headers import Cors, Field, ResponseHeadersPolicy

_SECONDS = Whole(0, 2**31 - 1)
_METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")

# CloudFront Developer Guide, "Headers that you can't remove"; the same may not be added.
_FIXED = re.compile(
    r"connection|content-encoding|content-length|expect|host|keep-alive|proxy-(?:authenticate|authorization"
    r"|connection)|trailer|transfer-encoding|upgrade|via|warning|x-accel-(?:buffering|charset|limit-rate"
    r"|redirect)|x-amz-cf-.*|x-amzn-(?:auth|cf-billing|cf-id|cf-xff|errortype|fle-profile|header-count"
    r"|header-order|lambda-integration-tag|requestid)|x-cache|x-edge-.*|x-forwarded-proto|x-real-ip",
    re.IGNORECASE,
)


class _FreeName(HeaderName):
    """A header that a policy may add or remove."""

    def __init__(self) -> None:
        super().__init__("the name of a header that a policy may change")

    def read(self, value: object) -> str:
        name = super().read(value)
        if _FIXED.fullmatch(name):
            raise ValueError(self.wanted)
        return name


_NAME_OR_ALL = Text(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}", 'the name of a header, or "*"', "header name, `*`")
_ALLOWED_ORIGIN = Text(
    r"\*|(?:https?://)?(?:\*\.)?[A-Za-z0-9_.\-]{1,253}(?::(?:[0-9]{1,5}|\*))?",
    "an origin such as https://www.example.com or https://*.example.com",
    "origin, `*`",
)
_LINE = Text(
    r"(?:[!-~](?:[!-~ \t]{0,1781}[!-~])?)?",
    "at most 1783 ASCII characters without blanks around them",
    "text",
)


class CorsConfig(Section):
    """Fields for requests from other origins."""

    access_control_allow_origins: Annotated[
        tuple[Annotated[str, _ALLOWED_ORIGIN], ...], Setting(min_length=1), EachOnce
    ]
    """Origins that may read answers; `*` stands for all, or for any name in front of a domain."""
    access_control_allow_headers: Annotated[tuple[Annotated[str, _NAME_OR_ALL], ...], EachOnceInAnyCase] = ()
    """Request fields that a preflight is told are allowed."""
    access_control_allow_methods: Annotated[
        tuple[Literal["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE", "ALL"], ...], EachOnce
    ] = ()
    """Methods that a preflight is told are allowed."""
    access_control_allow_credentials: Bool = False
    """Whether requests may bring cookies."""
    access_control_expose_headers: Annotated[tuple[Annotated[str, _NAME_OR_ALL], ...], EachOnceInAnyCase] = ()
    """Fields of answers that scripts may read."""
    access_control_max_age_sec: Annotated[int, _SECONDS] | None = None
    """Seconds for which a browser may remember a preflight."""
    origin_override: Bool = True
    """`false`: none of these where the origin sent any field of this kind."""

    @model_validator(mode="after")
    def _credentials_have_an_owner(self) -> Self:
        """Browsers refuse "*" for requests with credentials.  Fetch Standard, "CORS protocol"."""
        if self.access_control_allow_credentials and "*" in self.access_control_allow_origins:
            raise refused("access_control_allow_origins", "origins by name, as credentials are allowed")
        return self

    def value(self) -> Cors:
        """The settings as the rules take them."""
        methods = self.access_control_allow_methods
        return Cors(
            allow_origins=self.access_control_allow_origins,
            allow_headers=self.access_control_allow_headers,
            allow_methods=_METHODS if "ALL" in methods else methods,
            expose_headers=self.access_control_expose_headers,
            allow_credentials=self.access_control_allow_credentials,
            max_age_s=self.access_control_max_age_sec,
            override=self.origin_override,
        )


class _Overriding(Section):
    override: Bool = True
    """`false`: only where the origin sent none."""


class StrictTransportSecurity(_Overriding):
    """`Strict-Transport-Security`."""

    access_control_max_age_sec: Annotated[int, _SECONDS]
    """Seconds for which browsers keep to HTTPS."""
    include_subdomains: Bool = False
    """Whether subdomains are meant too."""
    preload: Bool = False
    """Whether browsers may have it built in."""

    def text(self) -> str:
        """The field's value."""
        parts = [f"max-age={self.access_control_max_age_sec}"]
        parts += ["includeSubDomains"] if self.include_subdomains else []
        parts += ["preload"] if self.preload else []
        return "; ".join(parts)


class ContentTypeOptions(_Overriding):
    """`X-Content-Type-Options: nosniff`."""


class FrameOptions(_Overriding):
    """`X-Frame-Options`."""

    frame_option: Literal["DENY", "SAMEORIGIN"]
    """Who may show the page in a frame."""


class ReferrerPolicy(_Overriding):
    """`Referrer-Policy`."""

    referrer_policy: Literal[
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ]
    """What browsers tell of the page that a link was on."""


class ContentSecurityPolicy(_Overriding):
    """`Content-Security-Policy`."""

    content_security_policy: Annotated[str, _LINE]
    """The field's value."""


class XssProtection(_Overriding):
    """`X-XSS-Protection`."""

    protection: Bool
    """Whether old browsers filter."""
    mode_block: Bool = False
    """Whether they show nothing at all then."""
    report_uri: Annotated[str, Text("[!-:<-~]+", "a URL", "URL")] | None = None
    """Where they tell of it."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        """CloudFront refuses both."""
        if self.mode_block and self.report_uri is not None:
            raise refused("report_uri", "none, as mode_block is true")
        return self

    def text(self) -> str:
        """The field's value."""
        if not self.protection:
            return "0"
        report = f"; report={self.report_uri}" if self.report_uri is not None else ""
        return f"1{'; mode=block' if self.mode_block else ''}{report}"


class SecurityHeadersConfig(Section):
    """Fields by which browsers are told to be careful."""

    strict_transport_security: StrictTransportSecurity | None = None
    """HTTPS only."""
    content_type_options: ContentTypeOptions | None = None
    """No guessing of types; `{}` is enough."""
    frame_options: FrameOptions | None = None
    """No frames."""
    referrer_policy: ReferrerPolicy | None = None
    """What is told of the page that a link was on."""
    content_security_policy: ContentSecurityPolicy | None = None
    """What a page may load."""
    xss_protection: XssProtection | None = None
    """The filter of old browsers."""

    def value(self) -> tuple[Field, ...]:
        """The fields to be added."""
        fields = []
        if (csp := self.content_security_policy) is not None:
            fields.append(Field("Content-Security-Policy", csp.content_security_policy, csp.override))
        if (referrer := self.referrer_policy) is not None:
            fields.append(Field("Referrer-Policy", referrer.referrer_policy, referrer.override))
        if (transport := self.strict_transport_security) is not None:
            fields.append(Field("Strict-Transport-Security", transport.text(), transport.override))
        if (options := self.content_type_options) is not None:
            fields.append(Field("X-Content-Type-Options", "nosniff", options.override))
        if (frame := self.frame_options) is not None:
            fields.append(Field("X-Frame-Options", frame.frame_option, frame.override))
        if (xss := self.xss_protection) is not None:
            fields.append(Field("X-XSS-Protection", xss.text(), xss.override))
        return tuple(fields)


class CustomHeader(_Overriding):
    """A field of your own."""

    header: Annotated[str, _FreeName()]
    """Its name."""
    value: Annotated[str, _LINE] = ""
    """Its value."""


class ServerTimingHeadersConfig(Section):
    """`Server-Timing`, with what the cache did and how long it took."""

    enabled: Bool
    """Whether it is added at all."""
    sampling_rate: Annotated[float, Decimal(0, 100, digits=4, such_as="12.5")] = 0.0
    """Percentage of answers that get it; a request with `Pragma: server-timing` always does."""


def _headers_once(values: object) -> object:
    """Refuse a list in which some header stands twice."""
    if isinstance(values, list):
        names = [str(value.get("header")).lower() for value in values if isinstance(value, dict)]
        if len(set(names)) < len(names):
            raise ValueError("each header once")
    return values


class ResponseHeadersPolicySection(Section):
    """What is taken from answers and added to them on the way to the viewer; nothing of it is cached."""

    cors_config: CorsConfig | None = None
    """Fields for requests from other origins."""
    security_headers_config: SecurityHeadersConfig | None = None
    """Fields by which browsers are told to be careful."""
    custom_headers_config: Annotated[tuple[CustomHeader, ...], BeforeValidator(_headers_once)] = ()
    """Fields of your own."""
    remove_headers_config: Annotated[tuple[Annotated[str, _FreeName()], ...], EachOnceInAnyCase] = ()
    """Fields that are removed, before the others are added."""
    server_timing_headers_config: ServerTimingHeadersConfig | None = None
    """`Server-Timing`."""

    def value(self, name: str) -> ResponseHeadersPolicy:
        """The policy as the rules take it."""
        custom = (Field(c.header, c.value, c.override) for c in self.custom_headers_config)
        security, timing = self.security_headers_config, self.server_timing_headers_config
        return ResponseHeadersPolicy(
            cors=self.cors_config.value() if self.cors_config is not None else None,
            fields=(*(security.value() if security is not None else ()), *custom),
            removed=frozenset(header.lower() for header in self.remove_headers_config),
            timing_rate=timing.sampling_rate if timing is not None and timing.enabled else None,
            name=name,
        )
