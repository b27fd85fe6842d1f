"""Who knows the secret: Signature Version 4 of requests that come to us.

AWS IAM User Guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from multidict import MultiMapping

from edgeproxy.origins.sigv4 import signing_key

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=[^,\s]+/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request, *SignedHeaders=(?P<names>[^,\s]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
_TOLERANCE_S = 15 * 60


def is_signed(
    secret: str,
    *,
    service: str,
    method: str,
    target: str,
    headers: MultiMapping[str],
    body: bytes,
    now: float,
) -> bool:
    """Whether the request was signed with `secret`, whatever the access key id, in the last 15 minutes.

    `target` is path and query as they came; `now` is POSIX seconds. Host, date and body have to be signed.
    """
    match = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if match is None or match["service"] != service:
        return False
    names, stamp = match["names"].split(";"), headers.get("X-Amz-Date", "")
    if not {"host", "x-amz-date"} <= set(names) or not _is_recent(stamp, match["day"], now):
        return False
    path, _, query = target.partition("?")
    canonical = "\n".join(
        (
            method,
            # Once more than it came, as everywhere but with S3.
            quote(path, safe="/~"),
            _canonical_query(query),
            *(f"{name}:{_canonical_value(headers, name)}" for name in names),
            "",
            match["names"],
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{match['day']}/{match['region']}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    key = signing_key(secret, match["day"], match["region"], service)
    wanted = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()
    return hmac.compare_digest(wanted, match["signature"])


def _is_recent(stamp: str, day: str, now: float) -> bool:
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    return stamp[:8] == day and abs(now - signed_at) <= _TOLERANCE_S


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=")[::2] for pair in query.split("&") if pair)
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="~")


def _canonical_value(headers: MultiMapping[str], name: str) -> str:
    return ",".join(" ".join(value.split()) for value in headers.getall(name, []))
