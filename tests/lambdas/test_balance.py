"""The functions over a pool: who is asked, what the caller gets in every shape, what the table has."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeproxy import __version__
from edgeproxy.health.board import BoardError
from edgeproxy.lambdas import process
from edgeproxy.lambdas.balance import handler as balance
from edgeproxy.lambdas.canary import handler as canary
from edgeproxy.lambdas.http_event import MappedStatusError
from edgeproxy.lambdas.reading import EventError
from edgeproxy.lambdas.settings import SettingError

from .conftest import Answer, Aws, Context
from .nodes import Node, served
from .test_functions import url
from .test_http_event import ALB, ALB_SINGLE, MAPPED, REST, URL

TICK: dict[str, Any] = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-21T18:00:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:events:us-east-1:123456789012:rule/canary"],
    "detail": {},
}
SEVEN = "[GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]"


@dataclass
class Api:
    """A pool of nodes that functions balance over, and the table that they share."""

    nodes: dict[str, Node]
    table: str
    told: Callable[..., None]
    aws: Aws

    def configure(
        self,
        pool: str = "",
        behavior: str = "",
        checks: str = "{path: /ping, timeout: 5s}",
        more: str = "",
        *,
        shares: bool = False,
        **settings: str | None,
    ) -> None:
        """`pool` and `behavior` are more of their settings; `more` is more of the file. `shares`: there is a
        table."""
        nodes = ", ".join(f'{{url: "{node.url}", name: {name}}}' for name, node in self.nodes.items())
        text = f"""
origins: {{api: {{type: pool, nodes: [{nodes}], checks: {checks}{pool and f", {pool}"}}}}}
default_behavior:
  {{target_origin: api, cache_policy: CachingDisabled, origin_request_policy: AllViewerExceptHostHeader,
    allowed_methods: {SEVEN}{behavior and f", {behavior}"}}}
{more}
"""
        if shares:
            self.aws.client("dynamodb").create_table(
                TableName=self.table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "server", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "server", "KeyType": "HASH"}],
            )
            settings = {"health_table": self.table, **settings}
        self.told(config=text, **settings)

    def items(self) -> dict[str, str]:
        """The verdicts in the table, by pool and node."""
        found = self.aws.client("dynamodb").scan(TableName=self.table)["Items"]
        return {item["server"]["S"]: item["verdict"]["S"] for item in found}

    def asked(self) -> dict[str, int]:
        return {name: len(node.asked) for name, node in self.nodes.items()}


@pytest.fixture
def api(aws: Aws, told: Callable[..., None]) -> Iterator[Api]:
    told(endpoint_url_dynamodb=aws.endpoint)
    with ExitStack() as stack:
        nodes = {name: stack.enter_context(served(Node(name))) for name in "abc"}
        yield Api(nodes, aws.bucket, told, aws)


# The canary.


def test_every_node_is_checked_and_the_table_has_it(api: Api) -> None:
    api.configure(shares=True)
    api.nodes["b"].status = 500
    expected = {"api/a": "up", "api/b": "down", "api/c": "up"}
    assert canary(TICK, Context()) == expected
    assert api.items() == expected
    assert [node.pings for node in api.nodes.values()] == [1, 1, 1]


@pytest.mark.parametrize("event", [{}, None, "tick", {"Records": []}])
def test_the_canary_looks_at_no_event(api: Api, event: object) -> None:
    api.configure(shares=True)
    assert set(canary(event, Context()).values()) == {"up"}


def test_verdicts_go_on_from_call_to_call(api: Api) -> None:
    """`fall: 3`, though the calls are a minute apart and the gateway would check each 5 seconds."""
    api.configure(shares=True)
    canary(TICK, Context())
    api.nodes["a"].status = 500
    states = [canary(TICK, Context())["api/a"] for _ in range(3)]
    assert states == ["up", "up", "down"]


def test_a_node_that_hangs_costs_no_other_its_check(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.configure(checks="{path: /ping, timeout: 1m}", shares=True)
    api.nodes["a"].hangs = True
    states = canary(TICK, Context(left_s=3.5))
    assert states == {"api/a": "late", "api/b": "up", "api/c": "up"}
    assert api.items() == {"api/b": "up", "api/c": "up"}
    assert "api/a: late: no answer in 1" in capsys.readouterr().out


def test_a_table_that_takes_nothing_is_told(api: Api) -> None:
    api.configure(health_table="not-there")
    with pytest.raises(BoardError, match="health: DynamoDB: ResourceNotFoundException"):
        canary(TICK, Context())


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("", "health.board: got memory, want dynamodb or redis, which other calls of functions can see, or"),
        ("state: {folder: /tmp/x}", "health.board: got sqlite, want dynamodb or redis"),
    ],
)
def test_a_board_that_no_other_call_sees_is_refused(api: Api, section: str, line: str) -> None:
    api.configure(more=section)
    with pytest.raises(SettingError) as caught:
        canary(TICK, Context())
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "config: is not set, want what `edgeproxy package --config` puts there, or config_file"),
        (
            {"config": "origins: {s: {type: http, url: 'http://s'}}\ndefault_behavior: {target_origin: s}"},
            "config: got no pool, want an origin of type pool",
        ),
        (
            {"config": "origins: {}"},
            "config: origins: got 0 of them, want at least 1; config: default_behavior",
        ),
        ({"config": "- a"}, "config: file: got a list, want a mapping of settings"),
        ({"config_file": "/not/there"}, "config_file: got '/not/there': no such file or directory"),
        (
            {"health_table": "a b"},
            "health_table: got 'a b' in 'us-east-1', want the name of a DynamoDB table and a region",
        ),
    ],
)
@pytest.mark.parametrize("function", [balance, canary])
def test_a_configuration_that_is_none_is_told_in_one_line(
    api: Api, settings: dict[str, str], line: str, function: Any
) -> None:
    if "health_table" in settings:
        api.configure()
    api.told(**settings)
    with pytest.raises(SettingError) as caught:
        function(url("/") if function is balance else TICK, Context())
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_canary_without_checks(api: Api) -> None:
    text = "origins: {p: {type: pool, nodes: [{url: 'http://n'}]}}\ndefault_behavior: {target_origin: p}"
    api.told(config=text, health_table="some")
    with pytest.raises(SettingError, match="config: got no pool with checks, want checks in one"):
        canary(TICK, Context())


def test_a_configuration_in_a_file(api: Api, tmp_path: Path) -> None:
    api.configure(shares=True)
    (tmp_path / "config.yaml").write_text(
        "origins: {api: {type: pool, checks: {path: /ping}, nodes: [{url: '${NODE}', name: n}]}}\n"
        "default_behavior: {target_origin: api}"
    )
    api.told(config_file=str(tmp_path / "config.yaml"), NODE=api.nodes["a"].url, health_table=api.table)
    assert canary(TICK, Context()) == {"api/n": "up"}
    api.told(NODE=None)
    with pytest.raises(
        SettingError, match=r"config: origins\.api\.nodes\[0\]\.url: got \$\{NODE\}, want NODE"
    ):
        canary(TICK, Context())


# Who is asked.


def test_nodes_that_the_canary_found_down_are_not_asked(api: Api) -> None:
    api.configure(shares=True)
    api.nodes["a"].status = api.nodes["b"].status = 500
    canary(TICK, Context())
    for _ in range(8):
        assert balance(url("/x"), Context())["statusCode"] == 200
    assert api.asked() == {"a": 0, "b": 0, "c": 8}
    assert [node.pings for node in api.nodes.values()] == [1, 1, 1]


def test_the_table_is_read_once_in_a_while(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeproxy.health.dynamodb import DynamoBoard

    reads: list[int] = []
    read = DynamoBoard.read

    async def counted(self: DynamoBoard, nodes: Any) -> Any:
        reads.append(len(nodes))
        return await read(self, nodes)

    monkeypatch.setattr(DynamoBoard, "read", counted)
    api.configure(shares=True)
    for _ in range(5):
        balance(url("/x"), Context())
    assert reads == [3]


def test_without_a_board_nodes_are_known_by_their_requests(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.configure()
    assert balance(url("/x"), Context())["statusCode"] == 200
    assert balance(url("/x"), Context())["statusCode"] == 200
    said = "health.board: got memory: nodes are known by their requests alone\n"
    assert capsys.readouterr().out == said


def test_a_table_that_is_down_stops_no_request(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.configure(health_table="not-there")
    assert balance(url("/x"), Context())["statusCode"] == 200
    assert "health: DynamoDB: ResourceNotFoundException" in capsys.readouterr().out


def test_another_node_is_asked_where_one_fails(api: Api) -> None:
    api.configure()
    for name in "ab":
        api.nodes[name].answers["/x"] = Answer(b"", 503)
    statuses = [balance(url("/x"), Context())["statusCode"] for _ in range(3)]
    assert statuses == [200, 200, 200]
    # What is not safe to repeat is not repeated.
    api.nodes["c"].answers["/x"] = Answer(b"", 503)
    before = sum(api.asked().values())
    assert balance(url("/x", "POST"), Context())["statusCode"] == 503
    assert sum(api.asked().values()) == before + 1


def test_the_first_node_that_answers_a_ping(api: Api) -> None:
    api.configure("algorithm: race", checks="{path: /ping, timeout: 5s}")
    api.nodes["a"].hangs = True
    api.nodes["b"].status = 500
    got = balance(url("/x"), Context())
    assert json.loads(got["body"]) == {"node": "c"}


def test_no_node_is_left(api: Api) -> None:
    api.configure(shares=True)
    for node in api.nodes.values():
        node.status = 500
    canary(TICK, Context())
    got = balance(url("/x"), Context())
    assert got["statusCode"] == 503
    assert got["headers"]["Retry-After"] == "60"
    assert "no-node" in got["headers"]["Cache-Status"]
    assert got["body"].startswith("503 Service Unavailable: none of the origin's servers can be asked")
    assert api.asked() == {"a": 0, "b": 0, "c": 0}


def test_a_call_that_takes_too_long_is_ended_in_time(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.configure()
    for node in api.nodes.values():
        node.hangs = True
    got = balance(url("/ping"), Context(left_s=1.5))
    assert got["statusCode"] == 504
    assert "the request timed out after" in capsys.readouterr().out


def test_connections_that_were_closed_between_two_calls(api: Api) -> None:
    """Nothing runs there while a function sleeps, and a POST is sent once."""
    api.configure()
    for node in api.nodes.values():
        node.leaves = True
    for _ in range(12):
        got = balance(url("/x", "POST"), Context())
        assert got["statusCode"] == 200
        node = api.nodes[json.loads(got["body"])["node"]]
        node.let_go.set()
        assert node.has_left.wait(10)
        node.has_left.clear()
        node.let_go.clear()
    assert sum(api.asked().values()) == 12


# What the caller gets.


def body(answer: dict[str, Any]) -> bytes:
    said: str = answer["body"]
    return base64.b64decode(said) if answer["isBase64Encoded"] else said.encode()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({**URL, "body": None}, "GET /file/a%20b.jpg?w=1&w=2"),
        (REST, "GET /file/a%20b.jpg?w=1&w=2+3"),
        (ALB, "POST /file/a.jpg?w=1&w=2%203"),
        (ALB_SINGLE, "POST /file/a.jpg?w=2%203"),
    ],
    ids=["url", "rest", "alb", "alb-single"],
)
def test_every_shape(api: Api, event: dict[str, Any], line: str) -> None:
    api.configure(checks="{path: /ping}")
    png = Answer(b"\x89PNG\x00\xff", 201, {"Content-Type": "image/png", "X-Two": "1"})
    for node in api.nodes.values():
        node.answers[line.partition(" ")[2]] = png
    got = balance(event, Context())
    assert got["statusCode"] == 201
    assert got["isBase64Encoded"] is True
    assert body(got) == png.body
    (node,) = [node for node in api.nodes.values() if node.asked]
    assert node.asked == [line]
    assert node.bodies == ([b"text"] if "POST" in line else [b""])
    fields = {**got.get("headers", {}), **got.get("multiValueHeaders", {})}
    assert fields["X-Two"] in ("1", ["1"])


def test_a_published_template(api: Api) -> None:
    api.configure("annotate: true")
    for node in api.nodes.values():
        node.answers["/?a=1"] = Answer(b'{"result":[1]}', headers={"Content-Type": "application/json"})
    got = balance(MAPPED, Context())
    (node,) = [node for node in api.nodes.values() if node.asked]
    assert got == {"result": [1], "__server__": node.name, "__version__": __version__}
    assert node.asked == ["POST /?a=1"]
    assert node.bodies == [b'{"id":0,"jsonrpc":"2.0","method":"call","params":[]}']


def test_a_body_that_a_template_wrote_anew_has_its_own_length(api: Api) -> None:
    api.configure()
    event = {**MAPPED, "params": {"header": {"Content-Length": "999", "Content-Type": "application/json"}}}
    assert set(balance(event, Context())) == {"node"}
    (node,) = [node for node in api.nodes.values() if node.asked]
    assert node.fields[0]["content-length"] == str(len(node.bodies[0]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"plain <text>\n", headers={"Content-Type": "text/plain"}), "plain <text>\n"),
        (Answer(b"[1, 2]", headers={"Content-Type": "application/json"}), [1, 2]),
    ],
)
def test_a_result_that_is_no_object_passes_whole(api: Api, answer: Answer, said: object) -> None:
    """The published balancer fails on it."""
    api.configure("annotate: true")
    for node in api.nodes.values():
        node.answers["/x"] = node.answers["/"] = answer
    got = balance(url("/x"), Context())
    assert (got["body"], got["isBase64Encoded"]) == (answer.body.decode(), False)
    assert balance({**MAPPED, "params": {}}, Context()) == said


def test_a_mapped_error_is_raised_with_its_status(api: Api) -> None:
    api.configure(shares=True)
    for node in api.nodes.values():
        node.status = 500
    canary(TICK, Context())
    with pytest.raises(MappedStatusError) as caught:
        balance(MAPPED, Context())
    told = json.loads(str(caught.value))
    assert (told["status"], told["retry-after"]) == (503, "60")
    assert json.loads(told["body"]).startswith("503 Service Unavailable: ")


def test_methods_that_are_not_let_in(api: Api) -> None:
    api.configure(behavior="disallowed_status: 405")
    api.told(config=_with_methods("GET, HEAD", api))
    got = balance(url("/x", "DELETE"), Context())
    assert (got["statusCode"], got["headers"]["Allow"]) == (405, "GET, HEAD")
    with pytest.raises(MappedStatusError, match=r'^\{"status": 405, "said": 405, "allow": "GET, HEAD", '):
        balance(MAPPED, Context())
    assert balance(url("/x", "BREW"), Context())["statusCode"] == 501
    assert api.asked() == {"a": 0, "b": 0, "c": 0}


def _with_methods(methods: str, api: Api) -> str:
    from edgeproxy.lambdas import settings

    return settings.text("config").replace(SEVEN, f"[{methods}]")


def test_cross_origin(api: Api) -> None:
    policy = "response_headers_policies: {open: {cors_config: {access_control_allow_origins: ['https://a.example'],"
    policy += " access_control_allow_methods: [POST], access_control_max_age_sec: 60}}}"
    api.configure(behavior="response_headers_policy: open", more=policy)
    event = url("/x", "OPTIONS")
    event["headers"] |= {"origin": "https://a.example", "access-control-request-method": "POST"}
    got = balance(event, Context())["headers"]
    assert got["Access-Control-Allow-Origin"] == "https://a.example"
    assert (got["Access-Control-Allow-Methods"], got["Access-Control-Max-Age"]) == ("POST", "60")
    # On errors too.
    event = url("/a/../b")
    event["headers"]["origin"] = "https://a.example"
    refused = balance(event, Context())
    assert refused["statusCode"] == 400
    for node in api.nodes.values():
        node.answers["/x"] = Answer(b"", 500)
    event = url("/x")
    event["headers"]["origin"] = "https://a.example"
    failed = balance(event, Context())
    assert (failed["statusCode"], failed["headers"]["Access-Control-Allow-Origin"]) == (
        500,
        "https://a.example",
    )


def test_a_path_that_leads_to_no_pool(api: Api) -> None:
    more = "behaviors: [{path_pattern: /site/*, target_origin: site}]"
    api.configure(more=more)
    from edgeproxy.lambdas import settings

    site = "origins: {site: {type: http, url: 'http://127.0.0.1:9'}, "
    api.told(config=settings.text("config").replace("origins: {", site))
    got = balance(url("/site/a"), Context())
    assert (got["statusCode"], "no-pool" in got["headers"]["Cache-Status"]) == (404, True)
    assert balance(url("/a"), Context())["statusCode"] == 200


def test_an_answer_that_the_front_end_does_not_take(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.configure()
    for node in api.nodes.values():
        # The larger is larger than all that may be returned, the other only with what is around it.
        node.answers["/larger"] = Answer(bytes(7 * 2**20))
        node.answers["/large"] = Answer(b"x" * (5 * 2**20))
    for path in ("/larger", "/large"):
        got = balance(url(path), Context())
        assert (got["statusCode"], "too-large" in got["headers"]["Cache-Status"]) == (502, True)
    assert "bytes, and at most 6291456 are passed on" in capsys.readouterr().out


def test_a_cut_answer_is_none(api: Api) -> None:
    api.configure()
    for node in api.nodes.values():
        node.answers["/x"] = Answer(b"half", length=8)
    got = balance(url("/x"), Context())
    assert (got["statusCode"], "origin-cut" in got["headers"]["Cache-Status"]) == (502, True)


# Who calls.


def test_only_who_knows_the_secret_may_call(api: Api) -> None:
    api.configure(caller_secret="known to CloudFront")
    assert balance(url("/x"), Context())["statusCode"] == 403
    event = url("/x")
    event["headers"]["x-edge-secret"] = "guessed"
    assert balance(event, Context())["statusCode"] == 403
    event["headers"]["x-edge-secret"] = "known to CloudFront"
    assert balance(event, Context())["statusCode"] == 200
    (node,) = [node for node in api.nodes.values() if node.asked]
    assert "x-edge-secret" not in node.fields[0]


@pytest.mark.parametrize(
    ("listed", "hops", "viewer"),
    [
        (None, None, "198.51.100.7"),
        ("198.51.100.7", None, "198.51.100.7"),
        # What callers say themselves is not believed.
        ("1.2.3.4, 198.51.100.7", None, "198.51.100.7"),
        ("1.2.3.4, 203.0.113.9, 198.51.100.7", "1", "203.0.113.9"),
        ("203.0.113.9", "1", "203.0.113.9"),
        ("203.0.113.9", "5", "203.0.113.9"),
    ],
)
def test_who_asks_is_told_to_the_node(api: Api, listed: str | None, hops: str | None, viewer: str) -> None:
    api.configure(trusted_hops=hops)
    event = url("/x")
    if listed is not None:
        event["headers"]["x-forwarded-for"] = listed
    balance(event, Context())
    (node,) = [node for node in api.nodes.values() if node.asked]
    assert node.fields[0]["x-forwarded-for"] == viewer


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (TICK, "event: got ['account', 'detail', 'detail-type', "),
        ({**URL, "headers": {"a": 1}}, "headers.a: got 1, want text"),
        ({**URL, "body": "%"}, "body: got '%', want base64, as isBase64Encoded says"),
    ],
)
def test_what_is_no_event(api: Api, event: object, line: str) -> None:
    api.configure()
    with pytest.raises(EventError) as caught:
        balance(event, Context())
    assert str(caught.value).startswith(line)


def test_what_is_opened_is_closed_with_the_process(api: Api) -> None:
    api.configure()
    before = len(process.opened._exit_callbacks)  # type: ignore[attr-defined]
    for _ in range(3):
        balance(url("/x"), Context())
    assert len(process.opened._exit_callbacks) == before + 1  # type: ignore[attr-defined]
