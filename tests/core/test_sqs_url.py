"""AWS General Reference, "Amazon SQS endpoints and quotas"."""

import pytest

from edgeproxy.core.sqs_url import endpoint_of, region_of


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("SQS.eu-west-1.amazonaws.com:443", "eu-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("sqs-fips.us-east-2.api.aws", "us-east-2"),
        ("sqs.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"),
        ("vpce-1a-2b.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
        ("queue.amazonaws.com", None),
        ("sqs.eu-west-1.amazonaws.com.example.org", None),
        ("notsqs.eu-west-1.amazonaws.com", None),
        ("sqs:9324", None),
        ("127.0.0.1:9324", None),
        ("[::1]:9324", None),
    ],
)
def test_the_host_says_the_region_on_aws(host: str, region: str | None) -> None:
    assert region_of(f"https://{host}/123456789012/fill") == region
    assert endpoint_of(f"https://{host}/123456789012/fill") == f"https://{host}"
