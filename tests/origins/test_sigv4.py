"""Our signatures are botocore's."""

import hashlib
from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from edgeproxy.core.paths import key_path
from edgeproxy.origins.sigv4 import Keys, signed_headers

NOW = datetime(2026, 11, 20, 22, 15, 0, tzinfo=UTC)
KEYS = ["plain.txt", "a b+c%d?e#f//ü.txt", "~tilde", "emoji 😀.png", "a&b=c;d:e@f,g$h", "(paren)!*'"]


def by_botocore(
    method: str,
    url: str,
    token: str | None,
    region: str,
    fields: dict[str, str] | None = None,
    body: bytes = b"",
) -> str:
    """The Authorization that botocore gives at NOW."""
    request = AWSRequest(method=method, url=url, headers=fields or {}, data=body)
    request.context["payload_signing_enabled"] = True
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        S3SigV4Auth(Credentials("AKIDEXAMPLE", "secret/KEY+1", token), "s3", region).add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, "a/session+token=="], ids=["keys", "with a token"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_signature_is_botocores(key: str, token: str | None, region: str) -> None:
    path = f"/bucket{key_path(key.encode())}"
    ours = dict(
        signed_headers(
            Keys("AKIDEXAMPLE", "secret/KEY+1", token),
            method="GET",
            host="127.0.0.1:9000",
            path=path,
            region=region,
            now=NOW.timestamp(),
        )
    )
    theirs = by_botocore("GET", f"http://127.0.0.1:9000{path}", token, region)
    assert ours["Authorization"].split("Signature=")[1] == theirs.split("Signature=")[1]
    assert ours.get("x-amz-security-token") == token


def test_fields_and_body_can_be_signed_with_it() -> None:
    fields = {
        "Content-Type": "text/html;  charset=utf-8",
        "If-None-Match": "*",
        "x-amz-meta-Z": " a  b ",
        "content-disposition": 'attachment; filename="ü.txt"',
        "x-amz-meta-a": "",
    }
    ours = signed_headers(
        Keys("AKIDEXAMPLE", "secret/KEY+1", "token"),
        method="PUT",
        host="127.0.0.1:9000",
        path="/bucket/a",
        region="us-east-1",
        now=NOW.timestamp(),
        payload_sha256=hashlib.sha256(b"body").hexdigest(),
        covering=fields.items(),
    )
    url = "http://127.0.0.1:9000/bucket/a"
    assert dict(ours)["Authorization"] == by_botocore("PUT", url, "token", "us-east-1", fields, b"body")


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(Keys("AKIDEXAMPLE", "secret/KEY+1", "token")) + repr(
        Keys("A", "secret", "secret")
    )
