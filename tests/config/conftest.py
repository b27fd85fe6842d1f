"""A small configuration that holds, and what is said of it when something in it is changed."""

from collections.abc import Callable, Mapping

import pytest

from edgeproxy.config import ConfigError, parse

SMALL = """
origins:
  bucket: {type: s3, bucket: assets}
  site: {type: http, url: "http://127.0.0.1:9100"}
origin_groups:
  media: {members: [bucket, site], failover_on: [403, 404]}
default_behavior: {target_origin: media}
"""

Told = Callable[..., list[str]]


@pytest.fixture
def told() -> Told:
    """The lines about a configuration, without the name of the file; [] if it holds."""

    def lines(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            parse(text, environ or {}, source="c")
        except ConfigError as error:
            return [line.removeprefix("c: ") for line in str(error).split("\n")]
        return []

    return lines
