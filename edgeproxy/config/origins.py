"""Where objects come from: the sections of origins and of groups of them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, Tag

from edgeproxy.config.fields import Bool, Name, VisibleText
from edgeproxy.config.kinds import BaseUrl, OneOf, Secret, Text
from edgeproxy.config.origin import OriginBase
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.section import EachOnce, Section
from edgeproxy.core.failover import FAILOVER_STATUSES

REGION = Text(r"[a-z0-9\-]{1,64}", "a region such as eu-west-1", "region")


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


def _shape_of_keys(value: object) -> str | None:
    if value == "default":
        return "<word>"
    return "<keys>" if isinstance(value, dict | Credentials) else None


AwsKeys: TypeAlias = Annotated[
    Annotated[Literal["default"], Tag("<word>")] | Annotated[Credentials, Tag("<keys>")],
    Discriminator(
        _shape_of_keys,
        custom_error_type="shape",
        custom_error_message="default or {access_key_id: ..., secret_access_key: ...}",
    ),
]
"""For services that refuse whom they do not know."""


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
    """Any HTTP server: the full origin, an API of one server."""

    type: Literal["http"]
    """Which sort of origin it is."""
    url: Annotated[str, BaseUrl()]
    """Scheme, host and port, such as `https://www.example.com`."""
    tls_verify: Bool = True
    """Whether the certificate has to be valid."""


def _type_of_origin(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("s3", "http", "pool") else None


Origin: TypeAlias = Annotated[
    Annotated[S3Origin, Tag("<s3>")]
    | Annotated[HttpOrigin, Tag("<http>")]
    | Annotated[PoolOrigin, Tag("<pool>")],
    Discriminator(
        _type_of_origin, custom_error_type="type_of_origin", custom_error_message="s3, http or pool"
    ),
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
