"""What the buckets tell of changes: the section of the notifications that we take."""

from typing import Annotated

from pydantic import SecretStr

from edgeproxy.config.fields import VisibleText
from edgeproxy.config.kinds import Secret, Text
from edgeproxy.config.origins import AwsKeys
from edgeproxy.config.section import EachOnce, Section

_PRINCIPAL = Text("[!-~]+", 'who did it, such as "edgeproxy" or "AWS:AROAEXAMPLE:*"', "name")


class EventQueue(Section):
    """A queue of Amazon SQS, or of a server that speaks as it does, into which S3 puts notifications."""

    url: Annotated[
        str,
        Text(
            r"https?://[^\s/?#@]+/[^\s?#]*[A-Za-z0-9_\-]{1,80}(?:\.fifo)?",
            "the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/changes",
            "URL",
        ),
    ]
    """URL of the queue; says also where the server is, and on AWS the region. Each message is for one reader:
    every gateway needs a queue of its own."""
    credentials: AwsKeys = "default"
    """Keys; or `default`, which asks the AWS provider chain (environment, profile, role)."""


class Events(Section):
    """Notifications of S3 servers, which purge what has changed: `POST /events/s3` on the admin port, or a
    queue of SQS."""

    token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """What the S3 server has to send along: as `auth_token` of MinIO, or with `?token=` in the address;
    without one, what the rest of the admin port wants."""
    sqs: EventQueue | None = None
    """A queue that is read for notifications."""
    ignore_principals: Annotated[tuple[Annotated[str, _PRINCIPAL], ...], EachOnce] = ()
    """Whose writes purge nothing, such as the access key id that edgeproxy has for itself alone; `*` at the
    end is anything. What they remove is purged all the same."""
