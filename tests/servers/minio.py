"""MinIO, from the binary that scripts/servers builds."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from botocore.session import get_session

from tests.servers.server import WEBHOOK_TOKEN, MissingError, S3Server, cache_folder
from tests.servers.workplace import free_port, workplace

_USER, _PASSWORD = "edgeproxy-root", "edgeproxy-root-secret"


def binary() -> Path:
    """Where scripts/servers puts it."""
    return cache_folder() / "bin" / "minio"


@contextmanager
def running() -> Iterator[S3Server]:
    """A MinIO over a folder of its own.  Raises `MissingError`."""
    if not binary().exists():
        raise MissingError(f"{binary()} is not there: run scripts/servers")
    port, webhook_port = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with workplace("minio") as place:
        environ = {
            "MINIO_ROOT_USER": _USER,
            "MINIO_ROOT_PASSWORD": _PASSWORD,
            "MINIO_BROWSER": "off",
            "CI": "",
            "MINIO_NOTIFY_WEBHOOK_ENABLE_EDGE": "on",
            "MINIO_NOTIFY_WEBHOOK_ENDPOINT_EDGE": f"http://127.0.0.1:{webhook_port}/events/s3",
            "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_EDGE": WEBHOOK_TOKEN,
        }
        command = (binary(), "server", place.folder / "data", "--address", f"127.0.0.1:{port}")
        server = place.start(*command, environ=environ)
        place.await_answer(f"{endpoint}/minio/health/ready", server)
        restricted = _restricted(endpoint)
        yield S3Server(
            "minio",
            endpoint,
            _USER,
            _PASSWORD,
            has_odd_keys=False,
            says_403_of_missing=False,
            restricted_access_key_id=restricted["AccessKeyId"],
            restricted_secret_access_key=restricted["SecretAccessKey"],
            restricted_session_token=restricted["SessionToken"],
            restricted_principal=None,
            webhook_port=webhook_port,
            pids=(server.pid,),
        )


def _restricted(endpoint: str) -> dict[str, str]:
    """Keys for an hour that may get and put but not list, from STS: a user takes the encrypted admin API."""
    allow = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["arn:aws:s3:::*"]}
    sts = get_session().create_client(
        "sts",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=_USER,
        aws_secret_access_key=_PASSWORD,
    )
    with closing(sts):
        assumed = sts.assume_role(
            RoleArn="arn:aws:iam:::role/not-looked-at",
            RoleSessionName="restricted",
            Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
        )
    credentials: dict[str, str] = assumed["Credentials"]
    return credentials
