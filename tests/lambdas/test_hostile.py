"""Functions among neighbours that are slow, hostile or gone, and events that nobody would send on purpose."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from edgeproxy.lambdas.edge_origin_request import handler as edge_origin_request
from edgeproxy.lambdas.edge_origin_response import handler as edge_origin_response
from edgeproxy.lambdas.invalidate_on_put import handler as invalidate_on_put
from edgeproxy.lambdas.mirror_url import handler as mirror_url
from edgeproxy.lambdas.process import log
from edgeproxy.lambdas.queue_consumer import handler as queue_consumer
from edgeproxy.lambdas.reading import EventError
from edgeproxy.lambdas.settings import SettingError

from .conftest import Answer, Aws, Context, Source
from .test_functions import batch, distribution, edge, put, url

__all__ = ["distribution"]

Tell = Callable[..., None]
Act = Callable[[socket.socket], None]


@pytest.fixture
def server() -> Iterator[Callable[[Act], str]]:
    """Makes a server that does with each connection, once it has heard something, as it is told."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket, act: Act) -> None:
        with suppress(OSError):
            connection.recv(2**16)
            act(connection)

    def accept(listener: socket.socket, act: Act) -> None:
        with suppress(OSError):
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=(connections[-1], act)))
                threads[-1].start()

    def make(act: Act) -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threads.append(threading.Thread(target=accept, args=(listeners[-1], act)))
        threads[-1].start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}"

    yield make
    for one in (*listeners, *connections):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in threads:
        thread.join()


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def dribbling(connection: socket.socket) -> None:
    """Never silent for long, and never done."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    connection.settimeout(0.05)
    while True:
        connection.sendall(b"x")
        with suppress(TimeoutError):
            if not connection.recv(1):
                return


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# Who is slow.


def test_a_source_that_does_not_end_is_told_within_the_time_of_the_call(
    aws: Aws, server: Callable[[Act], str], told: Tell
) -> None:
    told(generator_url=server(dribbling), external_endpoint=server(dribbling))
    event = edge("origin-response", "/a", "s3", status="404")
    assert edge_origin_response(event, Context(1.0)) is event["Records"][0]["cf"]["response"]
    answer = mirror_url(url("/a"), Context(1.0))
    assert (answer["statusCode"], answer["body"]) == (502, '"origin-timeout"')
    assert aws.keys() == []


def test_a_bucket_that_is_silent_leaves_the_viewer_with_its_answer(
    aws: Aws, source: Source, server: Callable[[Act], str], told: Tell
) -> None:
    told(generator_url=source.url, endpoint_url_s3=server(silent))
    source.answers["/a"] = Answer(b"made")
    event = edge("origin-response", "/a", "s3", status="404")
    assert edge_origin_response(event, Context(1.0)) is event["Records"][0]["cf"]["response"]


def test_a_bucket_that_takes_for_ever_does_not_keep_the_object_from_the_viewer(
    aws: Aws, source: Source, server: Callable[[Act], str], told: Tell
) -> None:
    def unwritable(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

    calls = iter([unwritable])
    told(generator_url=source.url, endpoint_url_s3=server(lambda one: next(calls, silent)(one)))
    source.answers["/a"] = Answer(b"made")
    answer = edge_origin_response(edge("origin-response", "/a", "s3", status="404"), Context(2.6))
    assert (answer["status"], base64.b64decode(answer["body"])) == ("200", b"made")


def test_a_queue_that_is_silent_costs_the_viewer_no_more_than_its_time(
    aws: Aws, server: Callable[[Act], str], told: Tell
) -> None:
    told(endpoint_url_sqs=server(silent), send_timeout="0.2")
    event = edge("origin-request", "/silent", "custom")
    edge_origin_request(event, Context())  # which makes the client
    began = time.monotonic()
    assert edge_origin_request(event, Context()) is event["Records"][0]["cf"]["request"]
    assert time.monotonic() - began < 5


def test_the_first_message_is_not_lost_while_the_client_is_made(
    aws: Aws, told: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class Queue:
        async def send_message(self, **message: str) -> None:
            sent.append(message["MessageBody"])

    async def slowly(*_: object, **__: object) -> Queue:
        await asyncio.sleep(0.03)
        return Queue()

    monkeypatch.setattr("edgeproxy.lambdas.edge_origin_request.client", slowly)
    told(send_timeout="0.01")
    edge_origin_request(edge("origin-request", "/first", "custom"), Context())
    assert len(sent) == 1


def test_connections_that_died_between_two_calls_are_made_anew(
    aws: Aws, server: Callable[[Act], str], told: Tell
) -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmade")
        connection.shutdown(socket.SHUT_RDWR)

    told(external_endpoint=server(once))
    assert [mirror_url(url(f"/{name}"), Context())["statusCode"] for name in "abc"] == [302, 302, 302]


# Who is there at the same time.


def test_who_makes_it_a_moment_later_than_another_answers_with_it_too(
    aws: Aws, server: Callable[[Act], str], told: Tell
) -> None:
    def late(connection: socket.socket) -> None:
        aws.client("s3").put_object(Bucket=aws.bucket, Key="a", Body=b"made")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmade")

    told(generator_url=server(late))
    answer = edge_origin_response(edge("origin-response", "/a", "s3", status="404"), Context())
    assert (answer["status"], base64.b64decode(answer["body"])) == ("200", b"made")


def test_no_cookie_of_a_source_goes_from_call_to_call(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url)
    source.answers["/a"] = Answer(b"a", headers={"Set-Cookie": "session=1"})
    queue_consumer(batch('{"v":1,"uri":"/a"}'), Context())
    queue_consumer(batch('{"v":1,"uri":"/b"}'), Context())
    assert ["cookie" in fields for fields in source.fields] == [False, False]


def test_a_bucket_that_refuses_loses_no_message(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url, s3_bucket="not-there")
    source.answers["/a"] = Answer(b"a")
    again = queue_consumer(batch('{"v":1,"uri":"/a"}', "no message"), Context())
    assert again == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert mirror_url(url("/a"), Context())["statusCode"] == 502, "404 would be of the object"


# Messages and requests that nobody would send on purpose.


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (r'{"v":1,"uri":"/\udcff"}', "bad-key"),
        (r'{"v":1,"uri":"/p","querystring":"\ud800"}', "dropped: querystring: got "),
        (r'{"v":1,"uri":"/p","headers":[["X-A","\ud800"]]}', "dropped: headers: got "),
        (json.dumps({"v": 1, "uri": "/p", "querystring": "a" * 70_000}), "skipped: :p: bad-path"),
        (json.dumps({"v": 1, "uri": "/" + "a" * 1_025}), "bad-key"),
        # At another path of the source than the endpoint's, or under another object's key.
        ('{"v":1,"uri":"/a/../../p"}', "skipped: :a/../../p: bad-path"),
        ('{"v":1,"uri":"/%2e%2e/p"}', "skipped: :../p: bad-path"),
        ('{"v":1,"uri":"/a%2Fp"}', "skipped: :a/p: bad-path"),
        (r'{"v":1,"uri":"/p%00"}', r"skipped: :p\x00: bad-path"),
        ('{"v":1,"uri":"/"}', "skipped: :: bad-key"),
        ('{"v":1,"uri":"/p","max_bytes":0}', "skipped: :p: too-large"),
        (7, "dropped: body: got 7, want text"),
        (None, "dropped: body: got None, want text"),
    ],
)
def test_what_is_no_job_takes_none_along(
    aws: Aws, source: Source, told: Tell, capsys: pytest.CaptureFixture[str], message: Any, said: str
) -> None:
    told(external_endpoint=f"{source.url}/base", pass_query="all", pass_headers="all")
    source.answers |= dict.fromkeys(("/p", "/base/p", "/base/%FF", "/base/a%2Fp"), Answer(b"x"))
    source.answers["/base/good"] = Answer(b"good")
    done = queue_consumer(batch(message, '{"v":1,"uri":"/good"}'), Context())
    assert (done, aws.keys()) == ({"batchItemFailures": []}, ["good"])
    assert any(said in line for line in lines(capsys))


def test_fields_and_queries_that_are_not_ascii_go_as_they_are(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url, pass_query="all", pass_headers="all")
    source.answers["/p?a=%C3%A9%FF"] = Answer(b"p")
    message = {"v": 1, "uri": "/p", "querystring": "a=é\udcff", "headers": [["X-A", "é"]]}
    assert queue_consumer(batch(json.dumps(message)), Context()) == {"batchItemFailures": []}
    assert (aws.keys(), source.fields[0]["x-a"].encode("latin-1").decode()) == (["p"], "é")


def test_what_a_viewer_writes_does_not_forge_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log("not made: /a\nREPORT\r\x1b[2J\u2028\ud800é")
    assert lines(capsys) == [r"not made: /a\nREPORT\r\x1b[2J\u2028\ud800é"]


def test_where_the_viewer_is_sent_is_ascii_in_one_line(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url)
    source.answers["/a"] = Answer(b"a")
    answer = mirror_url(url("/a", query="é=\U0001f600\r\nSet-Cookie: x"), Context())
    assert answer["headers"]["Location"] == "/a?%C3%A9=%F0%9F%98%80%0D%0ASet-Cookie: x"


def test_fields_that_are_not_ascii_are_escaped_for_cloudfront(aws: Aws, source: Source, told: Tell) -> None:
    told(generator_url=source.url)
    source.answers["/a"] = Answer(b"a", headers={"Content-Disposition": 'inline; filename="é"'})
    answer = edge_origin_response(edge("origin-response", "/a", "s3", status="404"), Context())
    assert answer["headers"]["content-disposition"][0]["value"] == 'inline; filename="%E9"'


def test_a_mapping_template_cannot_send_a_viewer_back(aws: Aws, source: Source, told: Tell) -> None:
    told(external_endpoint=source.url)
    mapped = {"body-json": {}, "params": {}, "context": {"http-method": "GET", "resource-path": "/a"}}
    with pytest.raises(EventError, match="mapping template"):
        mirror_url(mapped, Context())
    assert source.asked == []


@pytest.mark.parametrize("unset", ["generator_url", "s3_bucket"])
def test_a_generator_without_its_settings_leaves_the_buckets_answer(
    aws: Aws, source: Source, told: Tell, capsys: pytest.CaptureFixture[str], unset: str
) -> None:
    told(generator_url=source.url)
    told(**{unset: None})
    event = edge("origin-response", "/a", "s3", status="404")
    assert edge_origin_response(event, Context()) is event["Records"][0]["cf"]["response"]
    assert lines(capsys)[0].startswith(f"not made: /a: SettingError: {unset}: is not set, want ")


def test_a_fifo_queue_gets_one_message_for_an_object(aws: Aws, told: Tell) -> None:
    queue = aws.client("sqs").create_queue(
        QueueName=f"{aws.bucket[:40]}.fifo", Attributes={"FifoQueue": "true"}
    )["QueueUrl"]
    told(queue_url=queue)
    for name in ("one", "other", "one"):
        edge_origin_request(edge("origin-request", f"/fifo/{name}", "custom"), Context())
    got = aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(message["Body"])["uri"] for message in got] == ["/fifo/one", "/fifo/other"]


# Invalidations.


def queued(*events: object) -> dict[str, Any]:
    return batch(*(event if isinstance(event, str) else json.dumps(event) for event in events))


def test_a_message_that_is_no_event_takes_none_along(
    aws: Aws, distribution: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = invalidate_on_put(queued(put("a"), "no event", put("b")), Context())
    assert done["invalidated"] == ["/a", "/b"]
    assert done["batchItemFailures"] == [{"itemIdentifier": "m1"}]
    assert lines(capsys)[0] == 'message m1: Records[0].body: got "no event", want JSON'


def test_an_event_without_a_sequencer_is_told_from_the_next(aws: Aws, distribution: str) -> None:
    def reference(at: str) -> object:
        event = put("a")
        event["Records"][0]["eventTime"] = at
        del event["Records"][0]["s3"]["object"]["sequencer"]
        (identity,) = invalidate_on_put(queued(event), Context())["ids"]
        got = aws.client("cloudfront").get_invalidation(DistributionId=distribution, Id=identity)
        return got["Invalidation"]["InvalidationBatch"]["CallerReference"]

    first = "2026-01-01T00:00:00Z"
    assert reference(first) == reference(first)
    assert reference(first) != reference("2026-01-01T00:00:09Z")


def test_too_many_that_are_under_way_are_waited_for(
    aws: Aws, server: Callable[[Act], str], told: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = 'xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"'
    full = (
        f"<ErrorResponse {space}><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>"
    )
    done = f"<Invalidation {space}><Id>I1</Id></Invalidation>"
    answers = [("400 Bad Request", full)] * 2 + [("201 Created", done)] + [("400 Bad Request", full)] * 9

    def act(connection: socket.socket) -> None:
        status, body = answers.pop(0)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall((head + body).encode())
        connection.shutdown(socket.SHUT_WR)

    told(endpoint_url_cloudfront=server(act), distribution_id="E1")
    monkeypatch.setattr("edgeproxy.lambdas.invalidate_on_put._REST_S", 0.0)
    assert invalidate_on_put(put("a"), Context())["ids"] == ["I1"]
    with pytest.raises(Exception, match="TooManyInvalidationsInProgress"):
        invalidate_on_put(put("a"), Context(4.0))
    assert len(answers) == 8, "there was no time for another try"


def test_a_removal_counts_whoever_does_it(aws: Aws, distribution: str, told: Tell) -> None:
    told(ignore_principal="edgeproxy-backfill")
    event = put("a", principal="AWS:AROA:edgeproxy-backfill")
    assert invalidate_on_put(event, Context())["invalidated"] == []
    event["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    assert invalidate_on_put(event, Context())["invalidated"] == ["/a"]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("origin_path", "site/", "origin_path: got 'site/', want a path such as /site"),
        ("any_query", "True", "any_query: got 'True', want false or true"),
    ],
)
def test_a_setting_that_would_be_lost_is_named(
    aws: Aws, distribution: str, told: Tell, name: str, value: str, complaint: str
) -> None:
    told(**{name: value})
    with pytest.raises(SettingError) as caught:
        invalidate_on_put(put("a"), Context())
    assert complaint in str(caught.value)
