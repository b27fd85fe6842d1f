"""A viewer's request as an origin gets it."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.forwarding import (
    CLAIMS,
    OriginRequestPolicy,
    forwarded,
    forwards_websockets,
    is_for_everybody,
    is_loop,
    is_trusted,
    to_be_shared,
    unconditional,
    without_claims,
)
from edgeproxy.core.key import KeyPolicy, Pick, Selection, cache_key
from edgeproxy.core.message import Headers, Request
from tests.core.conftest import rows, steady

NONE, ALL = Selection(Pick.NONE), Selection(Pick.ALL)
NOTHING = OriginRequestPolicy()
PATH_ALONE = KeyPolicy()
ALL_VIEWER = OriginRequestPolicy(ALL, ALL, ALL)
OURS = [("Via", "1.1 edge"), ("CDN-Loop", "edge-1")]

Pairs = list[tuple[str, str]]


def only(*names: str) -> Selection:
    return Selection(Pick.ONLY, frozenset(names))


def but(*names: str) -> Selection:
    return Selection(Pick.EXCEPT, frozenset(names))


def sent(request: Request, key: KeyPolicy = PATH_ALONE, policy: OriginRequestPolicy = NOTHING) -> Request:
    return forwarded(request, key, policy, via="1.1 edge", loop_id="edge-1")


def sent_fields(
    pairs: Pairs, key: KeyPolicy = PATH_ALONE, policy: OriginRequestPolicy = NOTHING, method: str = "GET"
) -> Pairs:
    """Fields that reach the origin, less those that we always add."""
    fields = list(sent(Request(method, "/a", headers=Headers(pairs)), key, policy).headers)
    assert fields[-2:] == OURS
    return fields[:-2]


def test_a_whole_request() -> None:
    """CloudFront, Request and response behavior for custom origins."""
    request = Request(
        "GET",
        "/a",
        "q=1",
        Headers(
            [
                ("User-Agent", "x"),
                ("Accept", "*/*"),
                ("Connection", "keep-alive"),
                ("Range", "bytes=0-1"),
                ("Cookie", "a=1"),
                ("Accept-Encoding", "gzip"),
                ("If-None-Match", '"a"'),
            ]
        ),
        host="www.example.com",
        scheme="https",
        viewer="192.0.2.1",
    )
    assert sent(request) == Request(
        "GET",
        "/a",
        "",
        Headers([("Range", "bytes=0-1"), ("If-None-Match", '"a"'), ("X-Forwarded-For", "192.0.2.1"), *OURS]),
        host="",
        scheme="https",
        viewer="192.0.2.1",
    )


MESSAGE = (
    "cache-control pragma range if-match if-none-match if-modified-since if-unmodified-since if-range".split()
)
BODY = "content-length content-type content-md5 content-encoding content-digest repr-digest date".split()


@pytest.mark.parametrize("name", MESSAGE)
def test_what_the_message_needs_goes_along_unlisted(name: str) -> None:
    """CloudFront, Request and response behavior for custom origins."""
    assert sent_fields([(name, "1")]) == [(name, "1")]


async def a_body() -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("name", BODY)
def test_what_tells_of_a_body_goes_along_only_with_one(name: str) -> None:
    """On a read it could poison an answer that is for everybody; stricter than CloudFront."""
    assert sent_fields([(name, "1")]) == []
    request = Request("POST", "/a", headers=Headers([(name, "1")]), body=a_body())
    assert sent(request).headers.get(name) == "1"


def test_origin_goes_along_on_writes_and_where_it_is_listed() -> None:
    """CloudFront, Controlling origin requests: CORS-CustomOrigin lists it."""
    assert sent_fields([("Origin", "https://a.test")]) == []
    assert sent_fields([("Origin", "https://a.test")], method="POST") == [("Origin", "https://a.test")]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request("GET", "/a", headers=Headers([("Via", "1.1 a"), ("Accept-Encoding", "gzip")])), True),
        (Request("GET", "/a", headers=Headers([("If-None-Match", '"a"')])), True),
        (Request("GET", "/a", headers=Headers([("Cookie", "a=1")])), False),
        (Request("GET", "/a", headers=Headers([("X-Host", "evil")])), False),
        (Request("GET", "/a", headers=Headers([("User-Agent", "x")])), False),
        (Request("GET", "/a", "q=1"), False),
        (Request("GET", "/a", host="evil.test"), False),
    ],
    ids=["ours", "a condition", "a cookie", "a field", "a user agent", "a query", "a host"],
)
def test_is_for_everybody(request_: Request, expected: bool) -> None:
    assert is_for_everybody(request_) is expected


@pytest.mark.parametrize("name", ["Accept", "Accept-Language", "Referer", "User-Agent", "X-Api-Key", "From"])
def test_the_rest_goes_along_only_where_a_policy_lists_it(name: str) -> None:
    """CloudFront, Controlling origin requests."""
    lower, pair = name.lower(), (name, "1")
    assert sent_fields([pair]) == []
    assert sent_fields([pair], KeyPolicy(headers=only(lower))) == [pair]
    assert sent_fields([pair], policy=OriginRequestPolicy(only(lower))) == [pair]
    assert sent_fields([pair], policy=OriginRequestPolicy(but("x-other"))) == [pair]
    assert sent_fields([pair], policy=OriginRequestPolicy(but(lower))) == []
    assert sent_fields([pair], KeyPolicy(headers=only(lower)), OriginRequestPolicy(but(lower))) == [pair]


@pytest.mark.parametrize(
    "pair",
    [
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy-Connection", "close"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "31"),
        ("Upgrade", "websocket"),
        ("Expect", "100-continue"),
        ("X-Amz-Cf-Id", "x"),
        ("X-Edge-Request-Id", "x"),
    ],
    ids=lambda pair: pair[0],
)
def test_what_never_goes_along(pair: tuple[str, str]) -> None:
    """RFC 9110 §7.6.1; CloudFront, Request and response behavior for custom origins."""
    assert sent_fields([pair], policy=ALL_VIEWER) == []


@pytest.mark.parametrize(
    ("connection", "pairs", "expected"),
    rows(
        (
            "a field that it lists",
            "X-A, close",
            [("X-A", "1"), ("X-B", "2")],
            [("X-B", "2")],
            "RFC 9110 §7.6.1",
        ),
        (
            "not the type of the body",
            "content-type",
            [("Content-Type", "a/b")],
            [("Content-Type", "a/b")],
            "RFC 9110 §7.6.1",
        ),
        ("nor cookies", "cookie", [("Cookie", "a=1")], [("Cookie", "a=1")], "RFC 9110 §7.6.1"),
        (
            "nor who asks",
            "authorization",
            [("Authorization", "x")],
            [("Authorization", "x")],
            "RFC 9110 §7.6.1",
        ),
    ),
)
def test_connection_takes_away_what_it_rightly_lists(connection: str, pairs: Pairs, expected: Pairs) -> None:
    policy = OriginRequestPolicy(but("host"), ALL, ALL)
    assert sent_fields([("Connection", connection), *pairs], policy=policy) == expected


@pytest.mark.parametrize(
    "field", ["via", "cdn-loop", "x-forwarded-for", "host", "x-a", "origin", "accept-encoding"]
)
def test_connection_never_parts_the_key_from_what_is_sent(field: str) -> None:
    """Else whoever lists a field could store, under its value, an answer made without it."""
    key = KeyPolicy(headers=only("host", "x-a", "origin", "accept-encoding"))
    request = Request(
        "GET",
        "/a",
        headers=Headers(
            [("X-A", "1"), ("Origin", "o"), ("Accept-Encoding", "gzip"), ("Connection", f"{field}, close")]
        ),
        host="h",
    )
    reached = sent(request, key).headers
    assert cache_key(request, key).headers == tuple(
        (name, reached.get(name)) for name in ("accept-encoding", "host", "origin", "x-a")
    )


@pytest.mark.parametrize(
    ("method", "listed", "expected"),
    rows(
        ("GET", "GET", False, False, "CloudFront, Request and response behavior"),
        ("HEAD", "HEAD", False, False, "CloudFront, Request and response behavior"),
        ("OPTIONS", "OPTIONS", False, False, "CloudFront, Request and response behavior"),
        ("PUT", "PUT", False, True, "CloudFront, Request and response behavior"),
        ("POST", "POST", False, True, "CloudFront, Request and response behavior"),
        ("PATCH", "PATCH", False, True, "CloudFront, Request and response behavior"),
        ("DELETE", "DELETE", False, True, "CloudFront, Request and response behavior"),
        ("GET where a policy lists it", "GET", True, True, "CloudFront, Add custom headers"),
    ),
)
def test_authorization(method: str, listed: bool, expected: bool) -> None:
    pair = ("Authorization", "Basic eDp5")
    key = KeyPolicy(headers=only("authorization")) if listed else KeyPolicy()
    assert sent_fields([pair], key, method=method) == ([pair] if expected else [])


@pytest.mark.parametrize(
    ("key", "policy", "host"),
    rows(
        ("the origin's own", KeyPolicy(), NOTHING, "", "CloudFront, Host"),
        (
            "in the key",
            KeyPolicy(headers=only("host")),
            NOTHING,
            "Example.com:80",
            "CloudFront, Cache key settings",
        ),
        (
            "listed",
            KeyPolicy(),
            OriginRequestPolicy(only("host")),
            "Example.com:80",
            "CloudFront, HostHeaderOnly",
        ),
        ("all", KeyPolicy(), ALL_VIEWER, "Example.com:80", "CloudFront, AllViewer"),
        (
            "all but",
            KeyPolicy(),
            OriginRequestPolicy(but("host")),
            "",
            "CloudFront, AllViewerExceptHostHeader",
        ),
    ),
)
def test_host(key: KeyPolicy, policy: OriginRequestPolicy, host: str) -> None:
    request = Request("GET", "/a", headers=Headers([("Host", "other")]), host="Example.com:80")
    reached = sent(request, key, policy)
    assert reached.host == host
    assert reached.headers.all("host") == ((host,) if host else ()), "for a `Vary: Host`"


@pytest.mark.parametrize(
    ("key", "policy", "expected"),
    rows(
        (
            "normalised",
            KeyPolicy(gzip=True, brotli=True),
            NOTHING,
            "br,gzip",
            "CloudFront, Compression support",
        ),
        (
            "whatever the policy says",
            KeyPolicy(gzip=True),
            ALL_VIEWER,
            "gzip",
            "CloudFront, Compression support",
        ),
        ("not without a policy", KeyPolicy(), NOTHING, None, "CloudFront, Compression support"),
        (
            "as it came, in the key",
            KeyPolicy(headers=only("accept-encoding")),
            NOTHING,
            "zstd, gzip, br",
            "CloudFront, Compression support",
        ),
        (
            "as it came, listed alone",
            KeyPolicy(),
            OriginRequestPolicy(only("accept-encoding")),
            "zstd, gzip, br",
            "CloudFront, Controlling origin requests",
        ),
        ("as it came, listed", KeyPolicy(), ALL_VIEWER, "zstd, gzip, br", "CloudFront, AllViewer"),
    ),
)
def test_accept_encoding(key: KeyPolicy, policy: OriginRequestPolicy, expected: str | None) -> None:
    request = Request("GET", "/a", headers=Headers([("Accept-Encoding", "zstd, gzip, br")]))
    assert sent(request, key, policy).headers.get("accept-encoding") == expected


def test_an_origin_is_told_of_identity_when_the_viewer_takes_no_coding_of_ours() -> None:
    """CloudFront, Compression support."""
    request = Request("GET", "/a", headers=Headers([("Accept-Encoding", "zstd")]))
    assert sent(request, KeyPolicy(gzip=True)).headers.get("accept-encoding") == "identity"


MERGED = "CloudFront, How origin request policies and cache policies work together"


@pytest.mark.parametrize(
    ("key", "policy", "expected"),
    rows(
        ("none and none", NONE, NONE, "", MERGED),
        ("none and all", NONE, ALL, "c=1&a=4&&b=3&a=2", MERGED),
        ("none and some", NONE, only("a"), "a=4&a=2", MERGED),
        ("none and all but", NONE, but("a"), "c=1&b=3", MERGED),
        ("some and none", only("b"), NONE, "b=3", MERGED),
        ("some and all", only("b"), ALL, "c=1&a=4&&b=3&a=2", MERGED),
        ("some and others", only("b"), only("a"), "a=4&b=3&a=2", MERGED),
        ("what the key has cannot be left out", only("b"), but("b", "a"), "c=1&b=3", MERGED),
        ("all and all but", ALL, but("b"), "c=1&a=4&&b=3&a=2", MERGED),
        ("all but and none", but("b"), NONE, "c=1&a=4&a=2", MERGED),
        ("all but and all", but("b"), ALL, "c=1&a=4&&b=3&a=2", MERGED),
        ("all but, some of it after all", but("a", "b"), only("b"), "c=1&b=3", MERGED),
        ("all but and all but: neither", but("a"), but("b"), "c=1", MERGED),
    ),
)
def test_query_and_cookies_are_those_of_the_key_and_of_the_policy(
    key: Selection, policy: Selection, expected: str
) -> None:
    cookies = Headers([("Cookie", "c=1; a=4"), ("Cookie", "b=3; a=2")])
    request = Request("GET", "/a", "c=1&a=4&&b=3&a=2", cookies)
    reached = sent(request, KeyPolicy(query=key, cookies=key), OriginRequestPolicy(NONE, policy, policy))
    assert reached.query == expected
    wanted = sorted((pair for pair in expected.split("&") if pair), key=lambda pair: pair[0])
    assert reached.headers.get("cookie") == ("; ".join(wanted) or None), "sorted by name, repeats in order"


NAMES = st.frozensets(st.sampled_from("abc"))
SELECTIONS = st.builds(Selection, st.sampled_from(Pick), NAMES)


@steady
@given(SELECTIONS, SELECTIONS)
def test_what_is_in_the_key_is_sent_unless_two_lists_of_exceptions_meet(
    key: Selection, policy: Selection
) -> None:
    request = Request("GET", "/a", "a=1&b=2&c=3&d=4")
    parameters = set(sent(request, KeyPolicy(query=key), OriginRequestPolicy(query=policy)).query.split("&"))
    for parameter in request.query.split("&"):
        in_key, in_policy = key.takes(parameter[0]), policy.takes(parameter[0])
        both_except = key.pick is policy.pick is Pick.EXCEPT
        wanted = in_key and in_policy if both_except else in_key or in_policy
        assert (parameter in parameters) is wanted


@pytest.mark.parametrize(
    ("pairs", "viewer", "expected"),
    rows(
        ("the viewer's address", [], "192.0.2.1", ("192.0.2.1",), "CloudFront, X-Forwarded-For"),
        (
            "after those before",
            [("X-Forwarded-For", "a, b")],
            "192.0.2.1",
            ("a, b, 192.0.2.1",),
            "X-Forwarded-For",
        ),
        (
            "several lines become one",
            [("X-Forwarded-For", "a"), ("x-forwarded-for", "b")],
            "2001:db8::1",
            ("a, b, 2001:db8::1",),
            "RFC 9110 §5.3",
        ),
        ("an empty one is none", [("X-Forwarded-For", "")], "192.0.2.1", ("192.0.2.1",), "RFC 9110 §5.6.1"),
        ("requests of our own", [("X-Forwarded-For", "a")], "", ("a",), "our choice"),
        (
            "Connection cannot hide it",
            [("X-Forwarded-For", "a"), ("Connection", "x-forwarded-for")],
            "b",
            ("a, b",),
            "CVE-2022-31813",
        ),
    ),
)
def test_x_forwarded_for(pairs: Pairs, viewer: str, expected: tuple[str, ...]) -> None:
    request = Request("GET", "/a", headers=Headers(pairs), viewer=viewer)
    assert sent(request).headers.all("x-forwarded-for") == expected


def test_via_and_cdn_loop_grow() -> None:
    """RFC 9110 §7.6.3, RFC 8586 §2."""
    pairs = [("Via", "1.0 a"), ("via", "1.1 b"), ("CDN-Loop", "x; y=1"), ("Connection", "via, cdn-loop")]
    assert sent(Request("GET", "/a", headers=Headers(pairs))).headers == Headers(
        [("Via", "1.0 a, 1.1 b, 1.1 edge"), ("CDN-Loop", "x; y=1, edge-1")]
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    rows(
        ("absent", [], False, "RFC 8586 §2"),
        ("ours", ["edge-1"], True, "RFC 8586 §2"),
        ("among others", ["a, edge-1 , b"], True, "RFC 8586 §2"),
        ("on a line of its own", ["a", "edge-1"], True, "RFC 9110 §5.3"),
        ("with parameters", ["edge-1; x=1"], True, "RFC 8586 §2"),
        ("as a parameter", ["a; x=edge-1"], False, "RFC 8586 §2"),
        ("a longer name", ["edge-10, xedge-1"], False, "RFC 8586 §2"),
    ),
)
def test_is_loop(lines: list[str], expected: bool) -> None:
    assert (
        is_loop(Request("GET", "/", headers=Headers(("CDN-Loop", line) for line in lines)), "edge-1")
        is expected
    )


def test_our_own_request_is_a_loop_when_it_comes_back() -> None:
    assert is_loop(sent(Request("GET", "/")), "edge-1")
    assert not is_loop(sent(Request("GET", "/")), "edge-2")


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_viewer_that_is_not_trusted_makes_no_claims(name: str) -> None:
    pairs = [(name.title(), "x"), ("X-Other", "y")]
    assert without_claims(Headers(pairs)) == Headers([("X-Other", "y")])
    assert sent_fields([(name, "x")]) == [(name, "x")], "whoever may make claims is heard"


@pytest.mark.parametrize(
    ("viewer", "networks", "expected"),
    rows(
        ("nobody is trusted", "127.0.0.1", (), False, "our choice"),
        ("within", "10.1.2.3", ("10.0.0.0/8",), True, "RFC 4632 §3.1"),
        ("outside", "11.1.2.3", ("10.0.0.0/8",), False, "RFC 4632 §3.1"),
        ("in the second", "192.0.2.1", ("10.0.0.0/8", "192.0.2.1/32"), True, "RFC 4632 §3.1"),
        ("an address alone", "192.0.2.1", ("192.0.2.1",), True, "RFC 4632 §3.1"),
        ("IPv6", "2001:db8::1", ("2001:db8::/32",), True, "RFC 4291 §2.3"),
        ("IPv6 against IPv4", "2001:db8::1", ("0.0.0.0/0",), False, "RFC 4291 §2.3"),
        ("IPv4 within IPv6", "::ffff:10.1.2.3", ("10.0.0.0/8",), False, "RFC 4291 §2.5.5.2, stricter"),
        ("no address", "", ("0.0.0.0/0",), False, "our choice"),
        ("a name", "localhost", ("0.0.0.0/0",), False, "our choice"),
        ("leading zeros", "010.0.0.1", ("0.0.0.0/0",), False, "our choice"),
    ),
)
def test_is_trusted(viewer: str, networks: tuple[str, ...], expected: bool) -> None:
    assert is_trusted(viewer, networks) is expected


def test_unconditional_asks_for_the_whole() -> None:
    """RFC 9110 §13.1, §14.2."""
    pairs = [
        ("If-Match", '"a"'),
        ("IF-NONE-MATCH", '"a"'),
        ("If-Modified-Since", "x"),
        ("If-Unmodified-Since", "x"),
        ("If-Range", '"a"'),
        ("Range", "bytes=0-1"),
        ("X", "-"),
    ]
    request = Request("GET", "/a", "q", Headers(pairs), "h", "https", "v")
    assert unconditional(request) == Request("GET", "/a", "q", Headers([("X", "-")]), "h", "https", "v")


@pytest.mark.parametrize(
    ("control", "expected"),
    rows(
        ("what is for origins too", "no-cache", "no-cache", "RFC 9111 §5.2.1.4"),
        ("what is for caches alone", "max-stale=9, Only-If-Cached", None, "RFC 9111 §5.2.1.7"),
    ),
)
def test_what_is_shared_is_asked_for_in_nobodys_name(control: str, expected: str | None) -> None:
    request = Request("HEAD", "/a", headers=Headers([("Cache-Control", control), ("Range", "bytes=0-1")]))
    shared = to_be_shared(request, (("If-None-Match", '"a"'),))
    assert (shared.method, shared.headers.get("cache-control")) == ("GET", expected)
    assert (shared.headers.get("range"), shared.headers.get("if-none-match")) == (None, '"a"')


NEEDED = ("sec-websocket-key", "sec-websocket-version")


@pytest.mark.parametrize(
    ("key", "policy", "expected"),
    rows(
        ("nothing", PATH_ALONE, NOTHING, False, "CloudFront, Use WebSockets"),
        ("all viewer fields", PATH_ALONE, ALL_VIEWER, True, "CloudFront, Use WebSockets"),
        ("both listed", PATH_ALONE, OriginRequestPolicy(only(*NEEDED)), True, "CloudFront, Use WebSockets"),
        ("one listed", PATH_ALONE, OriginRequestPolicy(only(NEEDED[0])), False, "CloudFront, Use WebSockets"),
        (
            "one taken out",
            PATH_ALONE,
            OriginRequestPolicy(but(NEEDED[1])),
            False,
            "CloudFront, Use WebSockets",
        ),
        ("in the key", KeyPolicy(headers=only(*NEEDED)), NOTHING, True, "our guess: the key is sent too"),
    ),
)
def test_where_websockets_pass(key: KeyPolicy, policy: OriginRequestPolicy, expected: bool) -> None:
    assert forwards_websockets(key, policy) is expected


@pytest.mark.parametrize("websocket", [False, True])
def test_a_websocket_takes_its_handshake_along_and_who_asks(websocket: bool) -> None:
    """RFC 6455 §4.1, §10.2; `Authorization` and cookies go as the policies say."""
    pairs = [
        ("Sec-WebSocket-Key", "k"),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Origin", "http://page.test"),
        ("Authorization", "Basic x"),
        ("Upgrade", "websocket"),
    ]
    request = Request("GET", "/a", headers=Headers(pairs), websocket=websocket)
    names = [name for name, _ in sent(request).headers if name not in ("Via", "CDN-Loop")]
    assert names == ([name for name, _ in pairs[:4]] if websocket else [])
