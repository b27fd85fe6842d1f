"""Where objects come from: the sections of origins and of groups of them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag, field_validator

from edgeproxy.config.fields import Bool, Name, Seconds, SecondsAboveZero, VisibleText
from edgeproxy.config.kinds import (
    BaseUrl,
    CustomHeaderName,
    OneOf,
    PathText,
    Private,
    Secret,
    Text,
    Whole,
    is_path_prefix,
)
from edgeproxy.config.section import EachOnce, Section
from edgeproxy.core.failover import FAILOVER_STATUSES

# VCHAR and inner blanks, RFC 9110 §5.5; the length is CloudFront's.
HEADER_VALUE = Private(
    r"(?:[!-~](?:[!-~ \t]{0,1781}[!-~])?)?",
    "at most 1783 ASCII characters without blanks around them",
    "text",
)
REGION = Text(r"[a-z0-9\-]{1,64}", "a region such as eu-west-1", "region")


def stand_once(values: dict[str, str]) -> dict[str, str]:
    """Refuse header fields of which one stands in two spellings."""
    spellings: dict[str, str] = {}
    for name in values:
        other = spellings.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(f"one of {other} and {name}, which are the same header")
    return values


class Credentials(Section):
    """Keys for signing requests."""

    access_key_id: Annotated[str, VisibleText]
    """Access key id."""
    secret_access_key: Annotated[SecretStr, Secret(VisibleText)]
    """Secret access key."""
    session_token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """Session token, for temporary keys."""


def shape_of_credentials(value: object) -> str | None:
    """Which of the shapes that a setting for keys may have `value` has, as pydantic is to call it."""
    return (
        "<word>"
        if value in ("default", "anonymous")
        else "<keys>"
        if isinstance(value, dict | Credentials)
        else None
    )


class OriginBase(Section):
    """What all origins have."""

    origin_path: Annotated[
        str,
        PathText(is_path_prefix, 'a path such as /production, with "/" in front and none at the end', "path"),
    ] = ""
    """Put in front of every request path, such as `/production`."""
    connection_attempts: Annotated[int, Whole(1, 3)] = 3
    """How often connecting is tried; also how often a GET or HEAD that got no answer in time is sent."""
    connection_timeout: SecondsAboveZero = 10.0
    """How long one attempt to connect may take."""
    read_timeout: SecondsAboveZero = 30.0
    """How long the origin may be silent, before the first byte and between two packets."""
    max_connections: Annotated[int, Whole(1, 100_000)] = 512
    """Connections that may be open to this origin at once."""
    keepalive_timeout: Seconds = 5.0
    """How long an idle connection is kept."""
    custom_headers: dict[Annotated[str, CustomHeaderName()], Annotated[str, HEADER_VALUE]] = Field(
        default={}, repr=False
    )
    """Fields that are set on every request to this origin, over the viewer's. Values count as secrets."""

    _stand_once = field_validator("custom_headers")(stand_once)


class S3Origin(OriginBase):
    """A bucket on AWS S3, MinIO or any compatible server."""

    type: Literal["s3"]
    """Which sort of origin it is."""
    bucket: Annotated[
        str,
        Text(
            r"[A-Za-z0-9][A-Za-z0-9._\-]{1,61}[A-Za-z0-9]",
            'the name of a bucket: 3 to 63 letters, digits, "-", "_" and "."',
            "bucket name",
        ),
    ]
    """Name of the bucket."""
    region: Annotated[str, REGION] = "us-east-1"
    """Region, also for the signature."""
    endpoint: Annotated[str, BaseUrl()] | None = None
    """Where the server is, such as `http://127.0.0.1:9000`; AWS when absent."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Bucket in the path or in the host name; `auto`: in the host name on AWS, else in the path."""
    credentials: Annotated[
        Annotated[Literal["default", "anonymous"], Tag("<word>")] | Annotated[Credentials, Tag("<keys>")],
        Discriminator(
            shape_of_credentials,
            custom_error_type="shape",
            custom_error_message="default, anonymous or {access_key_id: ..., secret_access_key: ...}",
        ),
    ] = "default"
    """Keys; or `default`, which asks the AWS provider chain (environment, profile, role); or `anonymous`,
    which does not sign."""


class HttpOrigin(OriginBase):
    """Any HTTP server: the full origin, an API."""

    type: Literal["http"]
    """Which sort of origin it is."""
    url: Annotated[str, BaseUrl()]
    """Scheme, host and port, such as `https://www.example.com`."""
    tls_verify: Bool = True
    """Whether the certificate has to be valid."""


def _type_of_origin(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("s3", "http") else None


Origin: TypeAlias = Annotated[
    Annotated[S3Origin, Tag("<s3>")] | Annotated[HttpOrigin, Tag("<http>")],
    Discriminator(_type_of_origin, custom_error_type="type_of_origin", custom_error_message="s3 or http"),
]


def _pair(values: object) -> object:
    if isinstance(values, list) and len(values) != 2:
        raise ValueError("two origins, the primary first")
    return values


class OriginGroup(Section):
    """A primary origin and the one that is asked when it fails."""

    members: Annotated[tuple[Name, Name], BeforeValidator(_pair)]
    """Primary and secondary, by their names in `origins`."""
    failover_on: Annotated[frozenset[Annotated[int, OneOf(FAILOVER_STATUSES)]], Field(min_length=1), EachOnce]
    """Statuses of the primary after which the secondary is asked; 503 stands also for a failed connection,
    504 for a timeout, 502 for an unusable answer or refused credentials."""
