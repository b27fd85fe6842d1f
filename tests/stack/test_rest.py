"""The mapping template, as far as it can be tried without API Gateway: what it makes is understood."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from edgeproxy.core.message import Headers
from edgeproxy.lambdas.http_event import MAPPED_STATUSES, MappedStatusError, Shape, asked
from edgeproxy.stack.rest import MAPPING, pattern

from .variants import ROOT, VARIANTS, stack_of

REQUEST = {
    "path": {"proxy": "api/it's"},
    "querystring": {"q": 'say "a"\\b\n', 'it\'s "b"': "1"},
    "header": {"User-Agent": "l'agent", "Host": "x.example.com"},
}


_REFERENCE = re.compile(r"\$[a-zA-Z]+(?:\.\w+(?:\((?:[^()]|\([^()]*\))*\))?)*")


def escaped(text: str) -> str:
    """As `$util.escapeJavaScript`, whose `\\'` is not JSON."""
    return json.dumps(text)[1:-1].replace("'", "\\'")


def rendered(template: str, known: dict[str, Any]) -> str:
    """As much of the Velocity Template Language as the mapping template has: a directive a line."""
    return "\n".join(_lines(iter(template.splitlines()), known))


def _block(lines: Iterator[str]) -> list[str]:
    found, depth = [], 1
    for line in lines:
        depth += line.startswith("#foreach") - (line == "#end")
        if not depth:
            return found
        found.append(line)
    raise AssertionError("no #end")


def _lines(lines: Iterator[str], known: dict[str, Any]) -> Iterator[str]:
    for line in lines:
        if found := re.fullmatch(r"#set\(\$(\w+) = (.+)\)", line):
            known[found[1]] = _value(found[2], known)
        elif found := re.fullmatch(r"#foreach\(\$(\w+) in (.+)\.keySet\(\)\)", line):
            block, table = _block(lines), _value(found[2], known)
            for number, name in enumerate(table):
                inner = known | {found[1]: name, "more": number + 1 < len(table)}
                yield from _lines(iter(block), inner)
                # A loop within this one has its own `$foreach`.
                known |= {k: v for k, v in inner.items() if k not in ("more", found[1])}
        else:
            more = "," if known.get("more") else ""
            line = line.replace("#if($foreach.hasNext),#end", more)
            yield _REFERENCE.sub(partial(_said, known), line)


def _said(known: dict[str, Any], found: re.Match[str]) -> str:
    return str(_value(found[0], known))


def _value(said: str, known: dict[str, Any]) -> Any:
    if said.endswith(""".replaceAll("\\\\'", "'")"""):
        return re.sub(r"\\'", "'", _value(said.partition(".replaceAll")[0], known))
    if said.startswith("$util.escapeJavaScript("):
        return escaped(_value(said.removeprefix("$util.escapeJavaScript(")[:-1], known))
    if said == "$input.params()":
        return REQUEST
    if said == "$input.json('$')":
        return known["body"]
    if said.startswith("$context."):
        return known["context"].get(said.removeprefix("$context."), "")
    if found := re.fullmatch(r"\$(\w+)\.get\(\$(\w+)\)", said):
        return known[found[1]][known[found[2]]]
    return known[said[1:]]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_the_template_makes_of_a_request_is_understood(method: str) -> None:
    context = {
        "httpMethod": method,
        "identity.sourceIp": "198.51.100.7",
        "identity.userAgent": 'l\'agent "x"',
        "resourcePath": "/{proxy+}",
    }
    known = {"body": '{"id":1}', "context": context, "stageVariables": {"env": "l'env"}}
    event = json.loads(rendered(MAPPING, known))
    got = asked(event)
    assert got.shape is Shape.MAPPED
    assert (got.request.method, got.request.path) == (method, "/api/it%27s")
    assert got.request.query == "q=say+%22a%22%5Cb%0A&it%27s+%22b%22=1"
    assert got.request.headers.get("user-agent") == "l'agent"
    assert got.body == (b"" if method == "GET" else b'{"id":1}')
    # Where the published function looks for it.
    assert event["http-method"] == method
    assert event["stage-variables"] == {"env": "l'env"}
    assert event["context"]["user-agent"] == 'l\'agent "x"'
    assert len(event["context"]) == 18


def test_the_template_is_in_the_docs() -> None:
    """For APIs that are there already."""
    assert (ROOT / "docs" / "mapping.vtl").read_text() == MAPPING


@pytest.mark.parametrize("status", [*MAPPED_STATUSES, 418, 507])
def test_each_status_has_one_pattern(status: int) -> None:
    text = str(MappedStatusError(status, Headers(), "line\nline"))
    known = json.loads(text)["status"]
    assert [one for one in MAPPED_STATUSES if re.fullmatch(pattern(one), text)] == [known]


@pytest.mark.parametrize("text", ["Task timed out after 29.00 seconds", "config: is not set,\nwant what"])
def test_a_function_that_fails_is_a_bad_gateway(text: str) -> None:
    assert [one for one in MAPPED_STATUSES if re.fullmatch(pattern(one), text)] == [502]


def test_another_method_is_another_deployment() -> None:
    resources = stack_of(VARIANTS["pools and a REST API"]).tree["Resources"]
    (deployment,) = [name for name, r in resources.items() if r["Type"] == "AWS::ApiGateway::Deployment"]
    assert len(deployment) == len("RestApiDeployment") + 10
    assert set(resources[deployment]["DependsOn"]) == {
        name for name, r in resources.items() if r["Type"] == "AWS::ApiGateway::Method"
    }
