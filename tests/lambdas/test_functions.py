"""The functions as Lambda calls them: an event in, an answer out, and what lies in bucket and queue then."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest

from edgeproxy.lambdas.edge_event import complaints, edge_event
from edgeproxy.lambdas.edge_origin_request import handler as edge_origin_request
from edgeproxy.lambdas.edge_origin_response import handler as edge_origin_response
from edgeproxy.lambdas.invalidate_on_put import handler as invalidate_on_put
from edgeproxy.lambdas.mirror_url import handler as mirror_url
from edgeproxy.lambdas.queue_consumer import handler as queue_consumer
from edgeproxy.lambdas.reading import EventError
from edgeproxy.lambdas.settings import SettingError

from .conftest import Answer, Aws, Context, Source

Tell = Callable[..., None]


def edge(
    stage: str, uri: str, kind: str, *, method: str = "GET", status: str | None = None
) -> dict[str, Any]:
    origin = {"domainName": "example.com", "path": "", "customHeaders": {}}
    request = {
        "clientIp": "198.51.100.7",
        "method": method,
        "uri": uri,
        "querystring": "w=1",
        "headers": {"host": [{"key": "Host", "value": "example.com"}]},
        "origin": {kind: origin},
    }
    cf: dict[str, Any] = {"config": {"eventType": stage, "requestId": "q"}, "request": request}
    if status is not None:
        lines = {
            "transfer-encoding": [{"key": "Transfer-Encoding", "value": "chunked"}],
            "content-type": [{"key": "Content-Type", "value": "application/xml"}],
        }
        cf["response"] = {"status": status, "statusDescription": "-", "headers": lines}
    return {"Records": [{"cf": cf}]}


def url(path: str, method: str = "GET", query: str = "") -> dict[str, Any]:
    http = {"method": method, "path": path, "sourceIp": "198.51.100.7"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "x.lambda-url.us-east-1.on.aws", "accept-language": "de"},
        "requestContext": {"http": http, "stage": "$default"},
        "isBase64Encoded": False,
    }


def batch(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": f"m{number}", "eventSource": "aws:sqs", "body": body}
            for number, body in enumerate(bodies)
        ]
    }


# S0: CloudFront with an origin group, a queue, a consumer.


def test_the_bucket_is_asked_without_a_word_and_the_second_origin_with_one(aws: Aws) -> None:
    to_bucket = edge("origin-request", "/one/a%20b.jpg", "s3")
    to_site = edge("origin-request", "/one/a%20b.jpg", "custom")
    assert edge_origin_request(to_bucket, Context()) is to_bucket["Records"][0]["cf"]["request"]
    assert aws.messages() == []
    assert edge_origin_request(to_site, Context()) is to_site["Records"][0]["cf"]["request"]
    assert edge_origin_request(to_site, Context()) is to_site["Records"][0]["cf"]["request"]
    assert aws.messages() == ['{"v":1,"uri":"/one/a%20b.jpg","querystring":"w=1"}']


def test_only_what_reads_an_object_is_queued(aws: Aws) -> None:
    edge_origin_request(edge("origin-request", "/two", "custom", method="OPTIONS"), Context())
    edge_origin_request(edge("origin-request", "/", "custom"), Context())
    edge_origin_request(edge("origin-request", "/folder/", "custom"), Context())
    assert aws.messages() == []
    edge_origin_request(edge("origin-request", "/two", "custom", method="HEAD"), Context())
    assert len(aws.messages()) == 1


def test_the_viewer_does_not_pay_for_a_queue_that_is_down(
    aws: Aws, told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    told(endpoint_url_sqs="http://127.0.0.1:9")
    event = edge("origin-request", "/three", "custom")
    assert edge_origin_request(event, Context()) is event["Records"][0]["cf"]["request"]
    assert "not queued: /three?w=1: EndpointConnectionError" in capsys.readouterr().out


def test_the_consumer_fills_the_bucket(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=f"{source.url}/base", pass_query="all")
    source.answers["/base/a%20b.jpg?w=1"] = Answer(
        b"\x89JPG", headers={"Content-Type": "image/jpeg", "ETag": '"e1"'}
    )
    assert queue_consumer(batch('{"v":1,"uri":"/a%20b.jpg","querystring":"w=1"}'), Context()) == {
        "batchItemFailures": []
    }
    found = aws.get("a b.jpg")
    assert found is not None
    assert (found[0], found[1]["ContentType"]) == (b"\x89JPG", "image/jpeg")
    assert found[1]["Metadata"]["edgeproxy-source-etag"] == '"e1"'


def test_each_message_of_a_batch_has_its_own_fate(
    aws: Aws, source: Source, told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    told(external_endpoint=source.url)
    aws.client("s3").put_object(Bucket=aws.bucket, Key="there", Body=b"newer")
    source.answers |= {
        "/good": Answer(b"good"),
        "/there": Answer(b"older"),
        "/down": Answer(b"", 503),
        "/cut": Answer(b"half", length=8),
        "/private": Answer(b"x", headers={"Cache-Control": "private"}),
        "/denied": Answer(b"x", 401),
    }
    names = ["good", "there", "down", "cut", "missing", "private", "denied"]
    bodies = [json.dumps({"v": 1, "uri": f"/{name}"}) for name in names]
    failed = queue_consumer(batch(*bodies, "no message", '{"v":2}'), Context())
    assert [failure["itemIdentifier"] for failure in failed["batchItemFailures"]] == ["m2", "m3"]
    assert sorted(aws.keys()) == ["good", "there"]
    assert aws.get("there") is not None
    assert aws.get("there")[0] == b"newer"  # type: ignore[index]
    said = capsys.readouterr().out
    for line in (
        "stored: :good: 4 bytes",
        "skipped: :there: exists",
        "again: :down: source-status: the source answered 503",
        "again: :cut: ",
        "skipped: :missing: source-status",
        "skipped: :private: private",
        "failed: :denied: source-status: the source answered 401",
        "dropped: the message: got 'no message', want a JSON object",
        "dropped: v: got 2, want 1",
    ):
        assert line in said


def test_who_runs_out_of_time_gives_the_rest_back(aws: Aws, told: Tell) -> None:
    told(external_endpoint="http://127.0.0.1:9")
    bodies = ['{"v":1,"uri":"/a"}', '{"v":1,"uri":"/b"}']
    failed = queue_consumer(batch(*bodies), Context(left_s=2.4))
    assert [failure["itemIdentifier"] for failure in failed["batchItemFailures"]] == ["m0", "m1"]


# S1: generate on miss.


def test_what_the_bucket_lacks_is_made_stored_and_answered(aws: Aws, source: Source, told: Tell) -> None:
    told(generator_url=source.url, source_path="/render?of={path}", pass_query="w", pass_headers="host")
    source.answers["/render?of=/img/a.png&w=1"] = Answer(
        b"\x89PNG", headers={"Content-Type": "image/png", "X-Cache": "Hit", "Cache-Control": "max-age=60"}
    )
    event = edge("origin-response", "/img/a.png", "s3", status="404")
    answer = edge_origin_response(event, Context())
    assert complaints(edge_event(event), answer) == []
    assert (answer["status"], base64.b64decode(answer["body"])) == ("200", b"\x89PNG")
    assert answer["headers"]["content-type"] == [{"key": "Content-Type", "value": "image/png"}]
    assert answer["headers"]["transfer-encoding"] == [{"key": "Transfer-Encoding", "value": "chunked"}]
    found = aws.get("img/a.png")
    assert found is not None
    assert (found[0], found[1]["CacheControl"]) == (b"\x89PNG", "max-age=60")


@pytest.mark.parametrize(
    ("status", "method"), [("200", "GET"), ("500", "GET"), ("304", "GET"), ("404", "POST")]
)
def test_what_the_bucket_answers_otherwise_is_left_alone(
    aws: Aws, source: Source, told: Tell, status: str, method: str
) -> None:
    told(generator_url=source.url)
    event = edge("origin-response", "/a", "s3", status=status, method=method)
    assert edge_origin_response(event, Context()) is event["Records"][0]["cf"]["response"]
    assert source.asked == []


@pytest.mark.parametrize("answer", [Answer(b"", 500), Answer(b"", 404), Answer(b"half", length=8)])
def test_a_generator_that_fails_leaves_the_buckets_answer(
    aws: Aws, source: Source, told: Tell, answer: Answer
) -> None:
    told(generator_url=source.url)
    source.answers["/a"] = answer
    event = edge("origin-response", "/a", "s3", status="403")
    assert edge_origin_response(event, Context()) is event["Records"][0]["cf"]["response"]
    assert aws.keys() == []


def test_a_bucket_that_takes_nothing_does_not_keep_the_object_from_the_viewer(
    aws: Aws, source: Source, told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    told(generator_url=source.url, s3_bucket="not-there")
    source.answers["/a"] = Answer(b"made")
    answer = edge_origin_response(edge("origin-response", "/a", "s3", status="404"), Context())
    assert (answer["status"], base64.b64decode(answer["body"])) == ("200", b"made")
    assert "made, not stored: /a: " in capsys.readouterr().out


def test_head_is_answered_without_the_body(aws: Aws, source: Source, told: Tell) -> None:
    told(generator_url=source.url)
    source.answers["/a"] = Answer(b"made")
    answer = edge_origin_response(edge("origin-response", "/a", "s3", status="404", method="HEAD"), Context())
    assert (answer["status"], answer["body"], aws.keys()) == ("200", "", ["a"])


@pytest.mark.parametrize("size", [2**20, 3 * 2**19])
def test_what_cloudfront_does_not_take_is_stored_and_fetched_or_left(
    aws: Aws, source: Source, told: Tell, size: int
) -> None:
    told(generator_url=source.url)
    source.answers["/large"] = source.answers["/larger"] = Answer(bytes(size))
    event = edge("origin-response", "/large", "s3", status="404")
    assert edge_origin_response(event, Context()) is event["Records"][0]["cf"]["response"]
    told(too_large="redirect")
    answer = edge_origin_response(edge("origin-response", "/larger", "s3", status="404"), Context())
    assert (answer["status"], answer["headers"]["location"][0]["value"]) == ("302", "/larger?w=1")
    assert answer["headers"]["cache-control"][0]["value"] == "no-store"
    assert sorted(aws.keys()) == ["large", "larger"]


# S2: a mirror behind a function URL.


def test_the_mirror_stores_and_sends_the_viewer_back(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=f"{source.url}/base/", service_endpoint="https://cdn.example.com/")
    source.answers["/base/file/a%20b.jpg"] = Answer(b"jpg")
    answer = mirror_url(url("/file/a%20b.jpg", query="x=1"), Context())
    assert (answer["statusCode"], answer["headers"]) == (
        302,
        {"Location": "https://cdn.example.com/file/a%20b.jpg?x=1", "Cache-Control": "no-store"},
    )
    assert aws.keys() == ["file/a b.jpg"]
    # The second who comes finds it there.
    assert mirror_url(url("/file/a%20b.jpg"), Context())["statusCode"] == 302
    assert source.asked == ["/base/file/a%20b.jpg"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/missing", 404, "source-status"),
        ("/down", 502, "source-status"),
        ("/cut", 502, "origin-cut"),
        ("/private", 404, "no-store"),
        ("/folder/", 404, "bad-key"),
        ("/a/../../b", 400, 'the path holds a "." or ".." segment'),
        ("/a%2fb", 400, "the path holds an escaped slash"),
    ],
)
def test_what_cannot_be_stored_is_not_sent_back(
    aws: Aws, source: Source, told: Tell, path: str, status: int, said: str
) -> None:
    told(external_endpoint=source.url, service_endpoint="https://cdn.example.com")
    source.answers |= {
        "/down": Answer(b"", 500),
        "/cut": Answer(b"half", length=8),
        "/private": Answer(b"x", headers={"Cache-Control": "no-store"}),
    }
    answer = mirror_url(url(path), Context())
    assert (answer["statusCode"], json.loads(answer["body"])) == (status, said)
    assert "Location" not in answer["headers"]
    assert aws.keys() == []


def test_a_path_never_becomes_another_host(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url, service_endpoint="https://cdn.example.com")
    source.answers["/evil.example/x"] = Answer(b"ours")  # Python's server takes "//" for "/"
    answer = mirror_url(url("//evil.example/x"), Context())
    assert answer["headers"]["Location"] == "https://cdn.example.com//evil.example/x"
    assert source.asked == ["/evil.example/x"]


@pytest.mark.parametrize(
    ("path", "place"), [("/a", "/a?x=1"), ("//evil.example/x", "/.//evil.example/x?x=1")]
)
def test_without_an_endpoint_the_viewer_stays_on_his_host(
    aws: Aws, source: Source, told: Tell, path: str, place: str
) -> None:
    told(external_endpoint=source.url)
    source.answers |= {"/a": Answer(b"ours"), "/evil.example/x": Answer(b"ours")}
    answer = mirror_url(url(path, query="x=1"), Context())
    assert answer["headers"]["Location"] == place
    assert urljoin("https://cdn.example.com/a", place).startswith("https://cdn.example.com/")


def test_only_what_reads_is_mirrored(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url, service_endpoint="https://cdn.example.com")
    answer = mirror_url(url("/a", "POST"), Context())
    assert (answer["statusCode"], answer["headers"]["Allow"], source.asked) == (405, "GET, HEAD", [])


# S3: an upload, and CloudFront forgets.


def put(*keys: str, principal: str = "AWS:AROA:someone") -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": principal},
                "s3": {"bucket": {"name": "assets"}, "object": {"key": key, "sequencer": f"00{number}"}},
            }
            for number, key in enumerate(keys)
        ]
    }


@pytest.fixture
def distribution(aws: Aws, told: Tell) -> str:
    config = {
        "CallerReference": aws.bucket,
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "o",
                    "DomainName": "x.s3.amazonaws.com",
                    "S3OriginConfig": {"OriginAccessIdentity": ""},
                }
            ],
        },
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"},
    }
    made = aws.client("cloudfront").create_distribution(DistributionConfig=config)
    told(distribution_id=made["Distribution"]["Id"])
    return str(made["Distribution"]["Id"])


def test_a_batch_of_uploads_is_one_invalidation(aws: Aws, distribution: str) -> None:
    event = put("file/my+photo%281%29.jpg", "~me/a", "file/my+photo%281%29.jpg")
    done = invalidate_on_put(event, Context())
    assert done["invalidated"] == ["/*"]
    done = invalidate_on_put(put("file/my+photo%281%29.jpg", "b"), Context())
    assert done["invalidated"] == ["/b", "/file/my%20photo(1).jpg"]
    (identity,) = done["ids"]
    kept = aws.client("cloudfront").get_invalidation(DistributionId=distribution, Id=identity)["Invalidation"]
    assert kept["InvalidationBatch"]["Paths"]["Items"] == ["/b", "/file/my%20photo(1).jpg"]


def test_the_same_event_makes_the_same_reference(aws: Aws, distribution: str) -> None:
    def reference(event: object) -> str:
        (identity,) = invalidate_on_put(event, Context())["ids"]
        got = aws.client("cloudfront").get_invalidation(DistributionId=distribution, Id=identity)
        return str(got["Invalidation"]["InvalidationBatch"]["CallerReference"])

    assert reference(put("a", "b")) == reference(put("a", "b"))
    assert reference(put("a", "b")) != reference(put("b", "a"))


def test_what_is_no_upload_invalidates_nothing(aws: Aws, distribution: str, told: Tell) -> None:
    nothing = {"invalidated": [], "ids": []}
    assert invalidate_on_put({"Service": "Amazon S3", "Event": "s3:TestEvent"}, Context()) == nothing
    told(ignore_principal="edgeproxy-backfill")
    assert invalidate_on_put(put("a", principal="AWS:AROA:edgeproxy-backfill"), Context()) == nothing
    told(origin_path="/production")
    assert invalidate_on_put(put("staging/a"), Context()) == nothing
    assert invalidate_on_put(put("production/a"), Context())["invalidated"] == ["/a"]


# Bad input.


@pytest.mark.parametrize(
    ("handler", "event", "complaint"),
    [
        (edge_origin_request, {}, "Records[0].cf: got None, want a JSON object"),
        (
            edge_origin_request,
            edge("origin-response", "/a", "s3", status="404"),
            "Records[0].cf.config.eventType: got origin-response, want origin-request",
        ),
        (
            edge_origin_response,
            edge("origin-request", "/a", "s3"),
            "Records[0].cf.config.eventType: got origin-request, want origin-response",
        ),
        (queue_consumer, {"a": 1}, "Records: got None, want a list of messages"),
        (queue_consumer, {"Records": [{}]}, "Records[0].messageId: got None, want text"),
        (mirror_url, {}, "event: got [], want that of a function URL"),
        (invalidate_on_put, [], "body: got [], want a JSON object"),
    ],
)
def test_what_is_no_event_is_told_in_one_line(
    aws: Aws, handler: Callable[..., Any], event: object, complaint: str
) -> None:
    with pytest.raises(EventError) as caught:
        handler(event, Context())
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("handler", "event", "unset", "complaint"),
    [
        (
            queue_consumer,
            batch('{"v":1,"uri":"/a"}'),
            "external_endpoint",
            "external_endpoint: is not set, want a URL",
        ),
        (
            queue_consumer,
            batch('{"v":1,"uri":"/a"}'),
            "s3_bucket",
            "s3_bucket: is not set, want the name of a bucket",
        ),
        (
            invalidate_on_put,
            put("a"),
            "distribution_id",
            "distribution_id: is not set, want the id of a distribution",
        ),
    ],
)
def test_a_setting_that_is_missing_is_named(
    aws: Aws,
    source: Source,
    told: Tell,
    handler: Callable[..., Any],
    event: object,
    unset: str,
    complaint: str,
) -> None:
    given = {
        "external_endpoint": source.url,
        "service_endpoint": "https://x.example",
        "distribution_id": "E1",
    }
    source.answers["/a"] = Answer(b"a")
    told(**given)
    told(**{unset: None})
    with pytest.raises(SettingError) as caught:
        handler(event, Context())
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("external_endpoint", "ftp://x", "external_endpoint: got 'ftp://x', want a URL such as"),
        (
            "external_endpoint",
            "https://me:secret@x?y",
            "external_endpoint: got 'https://***@x?y', want a URL",
        ),
        ("external_endpoint", "http://[", "external_endpoint: got 'http://[', want a URL"),
        ("external_endpoint", "http://x:99999", "external_endpoint: got 'http://x:99999', want a URL"),
        ("external_endpoint", "http://x\n", "external_endpoint: got 'http://x\\n', want a URL"),
        ("s3_prefix", "site", "s3_prefix: got 'site', want a path such as /site"),
        ("s3_prefix", "/site/", "s3_prefix: got '/site/', want a path such as /site"),
        ("source_path", "/a/../{path}", "source_path: got '/a/../{path}', want a path such as"),
        ("max_object_bytes", "many", "max_object_bytes: got 'many', want a number above 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    aws: Aws, source: Source, told: Tell, name: str, value: str, complaint: str
) -> None:
    told(external_endpoint=source.url)
    source.answers["/a"] = Answer(b"a")
    told(**{name: value})
    with pytest.raises(SettingError) as caught:
        queue_consumer(batch('{"v":1,"uri":"/a"}'), Context())
    assert complaint in str(caught.value)
