"""What the buckets tell of changes: the section of the notifications that we take."""

from typing import Annotated

from pydantic import SecretStr

from edgeproxy.config.fields import VisibleText
from edgeproxy.config.kinds import Secret, Text
from edgeproxy.config.section import EachOnce, Section

_PRINCIPAL = Text("[!-~]+", 'who did it, such as "edgeproxy" or "AWS:AROAEXAMPLE:*"', "name")


class Events(Section):
    """Notifications of S3 servers, which purge what has changed: `POST /events/s3` on the admin port."""

    token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """What the S3 server has to send along: as `auth_token` of MinIO, or with `?token=` in the address;
    without one, what the rest of the admin port wants."""
    ignore_principals: Annotated[tuple[Annotated[str, _PRINCIPAL], ...], EachOnce] = ()
    """Whose writes purge nothing, such as the access key id that edgeproxy has for itself alone; `*` at the
    end is anything. What they remove is purged all the same."""
