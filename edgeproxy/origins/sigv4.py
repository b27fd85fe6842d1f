"""AWS Signature Version 4 for S3 requests, with the signing key kept for the day.

Signing through botocore costs 80 µs a request; this costs a quarter of it and is tested to give the
same signatures.  Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials. `repr` shows the access key id only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def signed_headers(
    keys: Keys,
    *,
    method: str,
    host: str,
    path: str,
    query: str = "",
    region: str,
    now: float,
    payload_sha256: str = EMPTY_SHA256,
    covering: Iterable[tuple[str, str]] = (),
) -> tuple[tuple[str, str], ...]:
    """The fields that sign a request; `now` is POSIX seconds.

    `path` must be in S3's canonical form (`paths.key_path`) and be sent exactly so; `query` must be
    sorted and encoded. Of the request's other fields those of `covering`, no two of one name, are signed:
    all that begin with `x-amz-` have to be.
    """
    stamp = _stamp(int(now))
    day = stamp[:8]
    fields = [("host", host), ("x-amz-content-sha256", payload_sha256), ("x-amz-date", stamp)]
    if keys.session_token is not None:
        fields.append(("x-amz-security-token", keys.session_token))
    ours = fields[1:]
    fields = sorted([*fields, *((name.lower(), " ".join(value.split())) for name, value in covering)])
    names = ";".join(name for name, _ in fields)
    canonical = "\n".join(
        (method, path, query, *(f"{name}:{value}" for name, value in fields), "", names, payload_sha256)
    )
    scope = f"{day}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = signing_key(keys.secret_access_key, day, region, "s3")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{keys.access_key_id}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return (*ours, ("Authorization", authorization))


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=64)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of a day, such as "20260131", for one service in one region."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
