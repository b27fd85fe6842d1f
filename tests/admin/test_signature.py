"""Signed requests: what botocore signs is taken, and nothing else is."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from edgeproxy.admin.signature import is_signed

BODY = b"<InvalidationBatch/>"
HOST = "127.0.0.1:8081"


def signed(
    target: str = "/2020-05-31/distribution/local/invalidation",
    secret: str = "s3cret",
    service: str = "cloudfront",
) -> dict[str, str]:
    """Fields as botocore sends them, signed now."""
    request = AWSRequest("POST", f"http://{HOST}{target}", data=BODY, headers={"X-Other": " a  b "})
    SigV4Auth(Credentials("anybody", secret), service, "eu-west-1").add_auth(request)
    return {**dict(request.headers.items()), "Host": HOST}


def is_taken(headers: dict[str, str], **changed: Any) -> bool:
    asked: dict[str, Any] = {
        "service": "cloudfront",
        "method": "POST",
        "target": "/2020-05-31/distribution/local/invalidation",
        "headers": CIMultiDict(headers),
        "body": BODY,
        "now": datetime.now(UTC).timestamp(),
    }
    return is_signed("s3cret", **(asked | changed))


@pytest.mark.parametrize(
    "target",
    [
        "/2020-05-31/distribution/local/invalidation",
        "/2020-05-31/distribution/local/invalidation?MaxItems=3&Marker=a%2Bb%20c~",
        "/2020-05-31/distribution/lo%20c%C3%A9l/invalidation?a-b=1&a=2&b=&c",
    ],
)
def test_what_botocore_signs_is_taken(target: str) -> None:
    assert is_taken(signed(target), target=target)


def test_anything_else_is_not() -> None:
    headers = signed()
    assert is_taken(headers)
    now = datetime.now(UTC).timestamp()
    assert not is_taken(headers, body=BODY + b" ")
    assert not is_taken(headers, method="GET")
    assert not is_taken(headers, target="/2020-05-31/distribution/local/invalidation?MaxItems=1")
    assert not is_taken(headers, now=now + 1_000)
    assert not is_taken(headers, now=now - 1_000)
    assert is_taken(headers, now=now + 800)
    assert not is_taken(signed(secret="other"))
    assert not is_taken(signed(service="s3"))
    for field, value in (
        ("Host", "evil.test"),
        ("X-Amz-Date", "now"),
        ("X-Other", "c"),
        ("Authorization", "x"),
    ):
        assert not is_taken({**headers, field: value}), field
    without_host = {**headers, "Authorization": headers["Authorization"].replace("host;", "")}
    assert not is_taken(without_host)
    assert not is_taken({})
