"""What S3 servers tell of changed objects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.s3_events import Change, ObjectEvent, is_later, object_events
from tests.core.conftest import rows, steady

GUIDE = "S3 User Guide, Event message structure"
BRIDGE = "S3 User Guide, EventBridge event message structure"
MINIO = "minio, internal/event/event.go"
CEPH = "Ceph, Bucket notifications"


def aws(key: str = "HappyFace.jpg", name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    """The guide's example."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRj"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {"name": "amzn-s3-demo-bucket", "arn": "arn:aws:s3:::amzn-s3-demo-bucket"},
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
        **more,
    }


EVENTBRIDGE = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0",
        "bucket": {"name": "amzn-s3-demo-bucket1"},
        "object": {
            "key": "a+b%20c d.jpg",
            "size": 5,
            "etag": "b1946ac92492d2347c6235b4d2611184",
            "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            "sequencer": "617f08299329d189",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "1.2.3.4",
        "reason": "PutObject",
    },
}
OF_MINIO = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "assets/file/my photo(1).jpg",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "eventName": "s3:ObjectCreated:Put",
            "userIdentity": {"principalId": "minioadmin"},
            "s3": {
                "bucket": {"name": "assets", "ownerIdentity": {"principalId": "minioadmin"}},
                "object": {
                    "key": "file%2Fmy+photo%281%29.jpg",
                    "eTag": "0123",
                    "sequencer": "17B0C1D2E3F4A5B6",
                },
            },
            "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO (linux; amd64)"},
        }
    ],
}
OF_CEPH = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "ceph:s3",
            "eventName": "ObjectRemoved:Delete",
            "userIdentity": {"principalId": "tester"},
            "s3": {
                "bucket": {"name": "assets", "id": "503a4c37-85eb-47cd-8681-2817e80b4281.5330.903595"},
                "object": {
                    "key": "a+b%20c/ü.txt",
                    "size": 0,
                    "eTag": "",
                    "versionId": "",
                    "sequencer": "F7E6D75D",
                },
                "eventId": "",
            },
        }
    ]
}
TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Bucket": "assets",
    "RequestId": "5582815E1AEA5ADF",
}
HAPPY = ObjectEvent(
    "amzn-s3-demo-bucket",
    b"HappyFace.jpg",
    Change.CREATED,
    "d41d8cd98f00b204e9800998ecf8427e",
    "096fKKXTRTtl3on89fVO.nfljtsv6qko",
    "0055AED6DCD90281E5",
    "AIDAJDPLRKLG7UEXAMPLE",
)


def notification(message: object) -> dict[str, str]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": json.dumps(message)}


@pytest.mark.parametrize(
    ("message", "expected"),
    rows(
        ("AWS", {"Records": [aws()]}, [HAPPY], GUIDE),
        ("AWS, the test event", TEST_EVENT, [], GUIDE),
        ("nothing at all", {"Records": []}, [], GUIDE),
        (
            "EventBridge, whose keys are not encoded",
            EVENTBRIDGE,
            [
                ObjectEvent(
                    "amzn-s3-demo-bucket1",
                    b"a+b%20c d.jpg",
                    Change.CREATED,
                    "b1946ac92492d2347c6235b4d2611184",
                    "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                    "617f08299329d189",
                    "123456789012",
                )
            ],
            BRIDGE,
        ),
        ("EventBridge, tags", {**EVENTBRIDGE, "detail-type": "Object Tags Added"}, [], BRIDGE),
        (
            "MinIO",
            OF_MINIO,
            [
                ObjectEvent(
                    "assets",
                    b"file/my photo(1).jpg",
                    Change.CREATED,
                    "0123",
                    None,
                    "17B0C1D2E3F4A5B6",
                    "minioadmin",
                    "MinIO (linux; amd64)",
                )
            ],
            MINIO,
        ),
        (
            "Ceph, whose keys are not encoded",
            OF_CEPH,
            [
                ObjectEvent(
                    "assets",
                    "a+b%20c/ü.txt".encode(),
                    Change.REMOVED,
                    sequencer="F7E6D75D",
                    principal="tester",
                )
            ],
            CEPH,
        ),
        ("through SNS", notification({"Records": [aws()]}), [HAPPY], "SNS, message format"),
        ("through SNS, the test event", notification(TEST_EVENT), [], GUIDE),
        ("SNS's own", {"Type": "SubscriptionConfirmation", "Message": "You have"}, [], "SNS, message format"),
        ("through SQS", {"Records": [{"body": json.dumps({"Records": [aws()]})}]}, [HAPPY], "Lambda, SQS"),
        (
            "through SNS and SQS",
            {"Records": [{"body": json.dumps(notification({"Records": [aws(), aws()]}))}]},
            [HAPPY, HAPPY],
            "Lambda, SQS",
        ),
        ("SNS to Lambda", {"Records": [{"Sns": notification({"Records": [aws()]})}]}, [HAPPY], "Lambda, SNS"),
    ),
)
def test_what_is_told(message: object, expected: list[ObjectEvent]) -> None:
    assert list(object_events(json.dumps(message))) == expected
    assert list(object_events(json.dumps(message, ensure_ascii=False).encode())) == expected


@pytest.mark.parametrize(
    ("written", "key"),
    rows(
        ("a blank", "red+flower.jpg", "red flower.jpg", GUIDE),
        ("a plus", "a%2Bb.jpg", "a+b.jpg", GUIDE),
        ("decoded once", "100%2525.txt", "100%25.txt", GUIDE),
        ("slashes of MinIO", "img%2F%C3%BC+a.jpg", "img/ü a.jpg", MINIO),
        ("slashes of AWS", "img/%C3%BC+a.jpg", "img/ü a.jpg", GUIDE),
        ("as LocalStack has it", "img/%C3%BC%20a.jpg", "img/ü a.jpg", "LocalStack 4.4"),
    ),
)
def test_keys_are_decoded(written: str, key: str) -> None:
    (event,) = object_events(json.dumps({"Records": [aws(written)]}))
    assert event.key == key.encode()


@pytest.mark.parametrize(
    ("name", "change"),
    rows(
        ("put", "ObjectCreated:Put", Change.CREATED, GUIDE),
        ("copied", "ObjectCreated:Copy", Change.CREATED, GUIDE),
        ("uploaded in parts", "s3:ObjectCreated:CompleteMultipartUpload", Change.CREATED, MINIO),
        ("deleted", "ObjectRemoved:Delete", Change.REMOVED, GUIDE),
        ("a delete marker", "ObjectRemoved:DeleteMarkerCreated", Change.REMOVED, GUIDE),
        ("expired", "LifecycleExpiration:Delete", Change.REMOVED, GUIDE),
        ("expired, on Ceph", "ObjectLifecycle:Expiration:Current", Change.REMOVED, CEPH),
        ("moved", "LifecycleTransition", None, GUIDE),
        ("read", "s3:ObjectAccessed:Get", None, MINIO),
        ("tagged", "ObjectTagging:Put", None, GUIDE),
        ("tagged, on MinIO", "s3:ObjectCreated:PutTagging", None, MINIO),
        ("held, on MinIO", "s3:ObjectCreated:PutLegalHold", None, MINIO),
        ("unknown", "Whatever", None, "what others may add"),
    ),
)
def test_what_counts_as_a_change(name: str, change: Change | None) -> None:
    assert [event.change for event in object_events(json.dumps({"Records": [aws(name=name)]}))] == (
        [change] if change is not None else []
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("", 'body: got "", want JSON'),
        (b"\xff", "body: got b'\\xff', want JSON"),
        ("[" * 100_000, f'body: got "{"[" * 59}..., want JSON'),
        ("7", "body: got 7, want a JSON object"),
        ("{}", "body: got {}, want Records, detail-type or Message in it"),
        ('{"Records": 7}', "Records: got 7, want a list"),
        ('{"Records": [7]}', "Records[0]: got 7, want a JSON object"),
        ('{"Records": [{"eventName": 7}]}', "Records[0].eventName: got 7, want a text"),
        (json.dumps({"Records": [aws(), aws(s3=None)]}), "Records[1].s3: got nothing, want a JSON object"),
        (json.dumps({"Records": [aws(key="")]}), 'Records[0].s3.object.key: got "", want a text'),
        (
            json.dumps({"Records": [aws("\ud800")]}),
            'Records[0].s3.object.key: got "\\ud800", want Unicode text',
        ),
        (json.dumps(notification(7)), "Message: got 7, want a JSON object"),
        ('{"Records": [{"body": "x"}]}', 'Records[0].body: got "x", want JSON'),
        (json.dumps({**EVENTBRIDGE, "detail": {}}), "detail.object: got nothing, want a JSON object"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "bytes",
)
def test_what_is_wrong_is_told_in_one_line(body: str | bytes, line: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011
        object_events(body)
    assert str(told.value) == line


def test_messages_within_messages_come_to_an_end() -> None:
    message: object = {"Records": [aws()]}
    for _ in range(4):
        message = notification(message)
    with pytest.raises(ValueError, match="messages within messages"):
        object_events(json.dumps(message))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "Records s3 object key bucket name eventName detail-type detail Message Type body Sns".split()
            ),
            inner | st.sampled_from(["ObjectCreated:Put", "Object Created", "Notification", "{}"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@steady
@given(st.binary(max_size=40) | json_values.map(json.dumps))
def test_whatever_comes_there_are_events_or_one_line(body: bytes | str) -> None:
    try:
        events, line = object_events(body), None
    except ValueError as error:
        events, line = (), str(error)
    assert line is None or (", want " in line and "\n" not in line)
    assert all(event.bucket and event.key for event in events)


def test_the_sequencer_orders_the_events_of_a_key() -> None:
    assert is_later("0055AED6DCD90281E6", "0055AED6DCD90281E5")
    assert is_later("0056", "0055AED6DCD90281E5"), "the shorter one is padded on the right"
    assert not is_later("0055aed6", "0055AED600")
