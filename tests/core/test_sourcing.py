"""How an object is asked for at a source, and where its redirects may lead."""

# ruff: noqa: E501 - a row of the table is a line

import re
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.key import Pick, Selection
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.paths import normalise, object_key
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import (
    NEVER_PASSED,
    WANTED,
    Said,
    Supplier,
    Template,
    asked_again_in,
    by_default,
    hop,
    is_near,
    kept_of,
    request_of,
    said_by,
)

PLAIN = (("Accept-Encoding", "identity"),)


def of(path: str = "{rest}", **more: object) -> Supplier:
    return replace(Supplier("images", "site", Template(path)), **more)


def only(*names: str) -> Selection:
    return Selection(Pick.ONLY, frozenset(names))


def target(supplier: Supplier, path: str, query: str = "") -> str | Reason:
    request = request_of(supplier, path, object_key(path), query, ())
    return request if isinstance(request, Reason) else request.target


# RFC 3986 §3.3 (paths), §3.4 (queries).
PATHS = {
    "the path itself": (of(), "/img/a.jpg", "/img/a.jpg"),
    "in front": (of("/originals{path}"), "/img/a.jpg", "/originals/img/a.jpg"),
    "another in its place": (of("/originals{rest}", strip_prefix="/img"), "/img/a.jpg", "/originals/a.jpg"),
    "less the first": (of(strip_prefix="/img"), "/img/x/a.jpg", "/x/a.jpg"),
    "whole segments only": (of(strip_prefix="/img"), "/images/a.jpg", "/images/a.jpg"),
    "the prefix alone": (of(strip_prefix="/img"), "/img", "/img"),
    "behind": (of("{path}.orig"), "/a.jpg", "/a.jpg.orig"),
    "by its key": (of("/o/{key}"), "/a%20b%C3%A9.jpg", "/o/a%20b%C3%A9.jpg"),
    "a key with an escaped escape": (of("/o/{key}"), "/a%252Fb", "/o/a%252Fb"),
    "in a query": (of("/make?of={key}&as=png"), "/a/b&c=d%26+.jpg", "/make?of=a/b%26c%3Dd%26%2B.jpg&as=png"),
    "a path in a query": (of("/make?of={path}"), "/a%20b", "/make?of=/a%20b"),
    "twice": (of("/x{path}?y={rest}", strip_prefix="/a"), "/a/b", "/x/a/b?y=/b"),
    "two slashes": (of("/o{path}"), "//evil.example/a", "/o//evil.example/a"),
    "nothing of a query": (of(), "/a", "/a"),
}


@pytest.mark.parametrize(("supplier", "path", "wanted"), PATHS.values(), ids=PATHS)
def test_a_template_says_where_an_object_is(supplier: Supplier, path: str, wanted: str) -> None:
    assert target(supplier, path, "q=1") == wanted


REFUSED = {
    "out of its folder": (of("/originals{path}"), "/../secret"),
    "out of it by an escape": (of("/originals{path}"), "/%2e%2e/secret"),
    "made by the prefix": (of(strip_prefix="/img"), "/img/../secret"),
    "an escaped slash": (of("/o{path}"), "/a%2Fb"),
    "dots of the template and of the key": (of("/.{key}"), "/./a"),
    "no escape": (of("/o{path}"), "/a%zz"),
    "a line break": (of("/o{path}"), "/a\r\nX: y"),
    "a NUL": (of("/o{path}"), "/a%00"),
}


@pytest.mark.parametrize(("supplier", "path"), REFUSED.values(), ids=REFUSED)
def test_no_path_leads_out_of_the_template(supplier: Supplier, path: str) -> None:
    assert target(supplier, path) is Reason.BAD_PATH


def test_a_path_that_is_ambiguous_is_asked_for_only_as_it_is() -> None:
    """Where such paths are let in, the secondary has seen this one already."""
    assert target(by_default("site"), "/a/../b%2Fc") == "/a/../b%2Fc"


BAD_TEMPLATES = [
    "", "/", "/fixed", "{path", "/{}", "/{file}", "{key}", "originals{path}", "//x{path}x/..", "/a/../{key}", "/a b{path}",
    "/é{path}", "/%zz{path}", "/%41{path}", "/a#{path}", "/a?x={path}#y", "/a?x y={path}", "/a?é={path}", "http://h{path}", "/}{path}",
    "/a?{", "/a{path}?b=%zz", "/{{path}}", "/a\n{path}",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TEMPLATES)
def test_a_bad_template_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(WANTED)):
        Template(text)


QUERIES = {
    "none": (of(), "a=1&b=2", "/p"),
    "all": (of(query=Selection(Pick.ALL)), "a=1&b=2&c", "/p?a=1&b=2&c"),
    "some": (of(query=only("b", "c")), "a=1&b=2&c&b=3&bb=4", "/p?b=2&c&b=3"),
    "behind the template's": (of("/p?x={key}", query=only("b")), "a=1&b=2", "/p?x=p&b=2"),
    "none of those": (of("/p?x={key}", query=only("b")), "a=1", "/p?x=p"),
    "a fragment": (of(query=Selection(Pick.ALL)), "a=1#b", Reason.BAD_PATH),
    "a line break": (of(query=Selection(Pick.ALL)), "a=1\r\nX: y", Reason.BAD_PATH),
}


@pytest.mark.parametrize(("supplier", "query", "wanted"), QUERIES.values(), ids=QUERIES)
def test_of_a_query_is_sent_what_the_source_takes(supplier: Supplier, query: str, wanted: object) -> None:
    assert target(supplier, "/p", query) == wanted


def fields(supplier: Supplier, *pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    request = request_of(supplier, "/p", b"p", "", pairs)
    assert isinstance(request, Request)
    return request.headers.pairs


LANGUAGE, AGENT = ("Accept-Language", "de"), ("User-Agent", "x")
FIELDS = {
    "none": (of(), [LANGUAGE], []),
    "some": (of(passed=only("accept-language")), [AGENT, LANGUAGE], [LANGUAGE]),
    "all": (of(passed=Selection(Pick.ALL)), [AGENT, LANGUAGE], [AGENT, LANGUAGE]),
    "all but some": (of(passed=Selection(Pick.ALL), blocked=frozenset({"user-agent"})), [AGENT, LANGUAGE], [LANGUAGE]),
    "set": (of(fields=Headers([("X-Token", "t")])), [], [("X-Token", "t")]),
    "set over the viewer's": (of(passed=only("user-agent"), fields=Headers([("user-agent", "we")])), [AGENT], [("user-agent", "we")]),
    "no coding but ours": (of(passed=Selection(Pick.ALL)), [("accept-encoding", "br")], []),
    "no secrets, whatever is taken": (of(passed=only("authorization", "cookie")), [("Authorization", "a"), ("COOKIE", "b")], []),
    "a value that would be two": (of(passed=only("x-a")), [("X-A", "b\r\nX-B: c")], []),
    "a name that would be two": (of(passed=Selection(Pick.ALL)), [("X-A: b\r\nX-B", "c"), ("", "x")], []),
}  # fmt: skip


@pytest.mark.parametrize(("supplier", "sent", "wanted"), FIELDS.values(), ids=FIELDS)
def test_of_fields_are_sent_what_the_source_takes_and_what_is_set(
    supplier: Supplier, sent: list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> None:
    assert fields(supplier, *sent) == (*wanted, *PLAIN)


def test_what_is_set_is_a_secret() -> None:
    assert "hush" not in repr(of(fields=Headers([("X-Token", "hush")])))


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-Url", "x-host"])
def test_no_viewer_steers_a_source_by_fields(name: str) -> None:
    """Or a stranger would have another object put under this one's key, for everybody."""
    supplier = of(passed=Selection(Pick.ALL))
    asked = request_of(supplier, "/a", b"a", "", ((name, "/x"), ("X-Style", "flat")))
    assert isinstance(asked, Request)
    assert asked.headers == Headers([("X-Style", "flat"), *PLAIN])
    assert kept_of(Request("GET", "/a", headers=Headers([(name, "/x")])), (supplier,)) == ("", ())


TEXT = st.text(max_size=30)
TEMPLATES = ["/originals{path}", "/a/b{rest}", "/o/{key}", "/make?of={path}&k={key}", "{path}/x", "/.{key}"]


@given(st.sampled_from(TEMPLATES), TEXT.map(lambda text: "/" + text), TEXT, TEXT, TEXT)
def test_nothing_that_a_viewer_sends_makes_another_request(
    template: str, path: str, query: str, name: str, value: str
) -> None:
    """RFC 9112 §3 (request line), §5 (fields); RFC 3986 §3.3: the path stays below the template's."""
    supplier = of(template, query=Selection(Pick.ALL), passed=Selection(Pick.ALL))
    request = request_of(supplier, path, path.encode("utf-8", "replace"), query, ((name, value),))
    if isinstance(request, Reason):
        return
    assert re.fullmatch(r"[^\x00-\x20\x7f#]*", request.target)
    assert normalise(request.path) == request.path
    assert request.path.startswith(template.partition("{")[0].partition("?")[0])
    for field, text in request.headers:
        assert field.lower() not in NEVER_PASSED - {"accept-encoding"}
        assert not re.search(r"[\r\n:\x00]", field)
        assert not re.search(r"[\r\n\x00]", text)


@given(st.binary(min_size=1, max_size=20))
def test_a_key_in_a_query_can_be_read_again(key: bytes) -> None:
    _, query = Template("/make?of={key}&as=png").filled("/x", "/x", key)
    of_, as_ = query.split("&")
    assert (unquote_to_bytes(of_.removeprefix("of=")), as_) == (key, "as=png")
    assert "+" not in query


def test_a_job_keeps_what_any_of_its_sources_takes() -> None:
    viewer = Request(
        "GET",
        "/p",
        "a=1&b=2&c=3",
        Headers(
            [("Cookie", "c"), ("Authorization", "s"), ("Accept-Language", "de"), ("X-A", "1"), ("X-B", "2")]
        ),
    )
    one = of(query=only("a"), passed=only("x-a", "cookie"))
    two = of(query=only("c"), passed=only("accept-language"))
    assert kept_of(viewer, (one, two)) == ("a=1&c=3", (("Accept-Language", "de"), ("X-A", "1")))
    everything = of(query=Selection(Pick.ALL), passed=Selection(Pick.ALL), blocked=frozenset({"x-b"}))
    assert kept_of(viewer, (one, everything)) == (viewer.query, (("Accept-Language", "de"), ("X-A", "1")))
    assert kept_of(viewer, (of(),)) == ("", ())
    assert kept_of(viewer, ()) == ("", ())


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ((200,), Said.HERE),
        ((404, 410), Said.MISSING),
        ((301, 302, 303, 307, 308), Said.ELSEWHERE),
        ((500, 502, 503, 504, 408, 429), Said.FAULT),
        ((201, 204, 206, 300, 304, 400, 401, 403, 416), Said.REFUSED),
    ],
)
def test_a_status_says_whether_to_ask_again(statuses: tuple[int, ...], said: Said) -> None:
    """RFC 9110 §15, RFC 6585 §4."""
    assert {said_by(status) for status in statuses} == {said}


RETRY_AFTER = {
    "seconds": (503, "120", 120.0),
    "too many requests": (429, " 5 ", 5.0),
    "at once": (429, "0", 0.0),
    "a date": (503, "Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
    "a date that is past": (503, "Sun, 06 Nov 1994 08:49:30 GMT", 0.0),
    "days": (503, "999999", 3600.0),
    "more digits than a number has": (503, "9" * 5000, None),
    "nonsense": (503, "soon", None),
    "less than nothing": (503, "-1", None),
    "nothing": (503, None, None),
    "another status": (500, "120", None),
    "a redirect": (301, "120", None),
}


@pytest.mark.parametrize(("status", "value", "wanted"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_a_source_says_when_to_ask_again(status: int, value: str | None, wanted: float | None) -> None:
    """RFC 9110 §10.2.3."""
    headers = Headers([("Retry-After", value)] if value is not None else [])
    assert asked_again_in(status, headers, 784111777.0) == wanted


OWN, FROM = "http://site.example:8000", "http://site.example:8000/a/b?c"
CDN = frozenset({"cdn.example", "other.example:8443", "127.0.0.1:9000", "[::1]", "localhost"})
# RFC 9110 §10.2.2, RFC 3986 §5.2.
HOPS = {
    "a path": ("/x?y", "http://site.example:8000/x?y", True),
    "beside it": ("x", "http://site.example:8000/a/x", True),
    "above all": ("../../../x", "http://site.example:8000/x", True),
    "a whole address": ("http://SITE.example:8000/x", "http://SITE.example:8000/x", True),
    "the same host, safer": ("https://site.example/x", "https://site.example/x", True),
    "a query alone": ("?y", "http://site.example:8000/a/b?y", True),
    "less its fragment": ("/x#y", "http://site.example:8000/x", True),
    "no path": ("http://site.example:8000", "http://site.example:8000/", True),
    "a listed host": ("https://cdn.example/x", "https://cdn.example/x", False),
    "a listed host, plain": ("//cdn.example:80/x", "http://cdn.example:80/x", False),
    "a listed port": ("https://other.example:8443/x", "https://other.example:8443/x", False),
    "another port of its own": ("http://site.example:22/x", None, False),
    "its own host, elsewhere": ("http://site.example/x", None, False),
    "a port that is not listed": ("http://cdn.example:22/x", None, False),
    "the usual port where another is listed": ("https://other.example/x", None, False),
    "a host that is not listed": ("http://evil.example/x", None, False),
    "a host that ends like its own": ("http://evil-site.example:8000/x", None, False),
    "a name in front": ("http://site.example:8000@evil.example/x", None, False),
    "a password in front": ("http://a:b@site.example:8000/x", None, False),
    "a file": ("file:///etc/passwd", None, False),
    "gopher": ("gopher://site.example:8000/x", None, False),
    "this machine, though listed": ("http://127.0.0.1:9000/x", None, False),
    "this machine by name": ("http://localhost/x", None, False),
    "this machine, six": ("http://[::1]/x", None, False),
    "no port": ("http://site.example:99999/x", None, False),
    "no address": ("http://[/x", None, False),
    "two slashes in another way": ("/\\evil.example/x", None, False),
    "dots that are escaped": ("/%2e%2e/x", None, False),
    "two lines": ("/x\r\nX: y", None, False),
    "empty": ("", "http://site.example:8000/a/b?c", True),
}  # fmt: skip


@pytest.mark.parametrize(("location", "url", "is_own"), HOPS.values(), ids=HOPS)
def test_a_redirect_leads_to_its_own_host_or_to_one_that_is_listed(
    location: str, url: str | None, is_own: bool
) -> None:
    to = hop(FROM, location, OWN, CDN)
    assert (to.url if to is not None else None) == url
    assert to is None or to.is_own == is_own


@pytest.mark.parametrize(
    ("location", "hosts", "leads"),
    [
        ("http://cdn.example/x", {"cdn.example"}, False),
        ("http://cdn.example:80/x", {"cdn.example"}, False),
        ("http://cdn.example/x", {"cdn.example:80"}, True),
        ("https://cdn.example/x", {"cdn.example"}, True),
        ("http://site.example/x", {"site.example"}, False),
    ],
)
def test_what_is_asked_for_in_secret_does_not_come_in_the_open(
    location: str, hosts: set[str], leads: bool
) -> None:
    to = hop("https://site.example/a", location, "https://site.example", frozenset(hosts))
    assert (to is not None) == leads


def test_only_who_is_near_leads_nearby() -> None:
    near = frozenset({"127.0.0.1:9000"})
    assert (
        hop("http://127.0.0.1:8000/a", "http://127.0.0.1:9000/x", "http://127.0.0.1:8000", near) is not None
    )
    assert hop("http://127.0.0.1:8000/a", "http://127.0.0.1:9001/x", "http://127.0.0.1:8000", near) is None
    assert hop("http://10.0.0.1/a", "http://127.0.0.1:9000/x", "http://10.0.0.1", near) is None


@given(st.text(max_size=60))
def test_no_location_leads_to_a_stranger(location: str) -> None:
    to = hop(FROM, location, OWN, CDN)
    assert to is None or to.base.lower() in {
        OWN,
        "https://site.example",
        "http://cdn.example",
        "https://cdn.example",
    }
    assert to is None or re.fullmatch(r"[^\x00-\x20\x7f#]*", to.url)


@pytest.mark.parametrize(
    ("host", "near"),
    [
        *((host, True) for host in "localhost LOCALHOST. a.localhost 127.0.0.1 127.8.8.8 ::1 [::1] 0.0.0.0 ::".split()),
        *((host, True) for host in "169.254.169.254 fe80::1%eth0 ::ffff:127.0.0.1 2002:7f00:1:: 224.0.0.1".split()),
        *((host, True) for host in "fd00:ec2::254 64:ff9b::a9fe:a9fe 64:ff9b::7f00:1 ::127.0.0.1".split()),
        *((host, True) for host in "127.1 2130706433 0x7f000001 0177.0.0.1".split()),
        *((host, False) for host in "10.0.0.1 192.168.1.1 8.8.8.8 2001:db8::1 64:ff9b::808:808 fd00::1 example.com localhost.example 1e100.net".split()),
    ],
)  # fmt: skip
def test_this_machine_and_its_link_are_known_by_all_their_names(host: str, near: bool) -> None:
    assert is_near(host) == near
