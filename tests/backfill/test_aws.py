"""Where a service is."""

import pytest

from edgeproxy.backfill.aws import region_of


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs-fips.us-west-2.amazonaws.com", "us-west-2"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("vpce-1.sqs.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
        ("sqs.eu-west-1.amazonaws.com.evil.test", None),
        ("127.0.0.1", None),
        ("", None),
    ],
)
def test_the_host_of_a_queue_says_the_region(host: str, region: str | None) -> None:
    assert region_of(host) == region
