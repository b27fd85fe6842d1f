"""What the rules of the backfill say in words of their own."""

import pytest

from edgeproxy.config import parse
from edgeproxy.config.effective import effective
from edgeproxy.core.refreshing import ON_EVENT

TEXT = """
origins:
  bucket: {{type: s3, bucket: assets}}
  site: {{type: http, url: "http://127.0.0.1:9100"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{on_status: [404], refresh: {told}}}]}}
"""


@pytest.mark.parametrize(
    ("told", "refresh_s", "line"),
    [
        ("never", None, "refresh: never"),
        ("on-event", ON_EVENT, "refresh: on-event"),
        ("{every: 90m}", 5400.0, "refresh:\n      every: 90m"),
    ],
)
def test_when_objects_are_held_against_their_source(told: str, refresh_s: float | None, line: str) -> None:
    config = parse(TEXT.format(told=told), {})
    (rule,) = config.backfill.rules
    assert rule.refresh == refresh_s
    assert line in effective(config)
