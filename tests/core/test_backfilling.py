"""Is the bucket to be filled, and if not, why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.backfilling import (
    MAX_KEY_BYTES,
    Fill,
    Mode,
    Rule,
    on_missing,
    on_served,
    rule_for,
    unfit_head,
    unfit_key,
    unfit_object,
)
from edgeproxy.core.failover import Attempt
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import Pattern
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows, steady

DRAFTS = Rule(Pattern("/drafts/*"), frozenset({403, 404}), 100, enabled=False)
SMALL = Rule(Pattern("/small/*"), frozenset({404}), 100)
REST = Rule(Pattern("*"), frozenset({403, 404}), 10_000)
RULES = (DRAFTS, SMALL, REST)

KEY = CacheKey("GET", "/a.jpg")
SENT = Request("GET", "/a.jpg")
MISSING = (Attempt("bucket", 404), Attempt("site", 200))


def head(status: int = 200, /, **values: str) -> Head:
    """`cache_control="..."` becomes `cache-control: ...`."""
    return Head(status, Headers((name.replace("_", "-"), value) for name, value in values.items()))


def sent(**values: str) -> Request:
    return Request("GET", "/a.jpg", headers=head(**values).headers)


WHOLE = head(content_length="9")


@pytest.mark.parametrize(
    ("request_", "trail", "response", "expected"),
    rows(
        (
            "the bucket lacks what the site has",
            SENT,
            MISSING,
            WHOLE,
            Fill(b"a.jpg", REST),
            "the design, law 6",
        ),
        (
            "so does a bucket that we may not list",
            SENT,
            (Attempt("bucket", 403), Attempt("site", 200)),
            WHOLE,
            Fill(b"a.jpg", REST),
            "CloudFront, HTTP 403",
        ),
        ("a HEAD", Request("HEAD", "/a.jpg"), MISSING, WHOLE, Fill(b"a.jpg", REST), "our choice"),
        ("a part", SENT, MISSING, head(206, content_length="9"), Fill(b"a.jpg", REST), "our choice"),
        (
            "a part of what may be too large",
            SENT,
            MISSING,
            head(206, content_length="99999"),
            Fill(b"a.jpg", REST),
            "-",
        ),
        ("the viewer has it already", SENT, MISSING, head(304), Fill(b"a.jpg", REST), "our choice"),
        ("no length", SENT, MISSING, head(), Fill(b"a.jpg", REST), "our choice"),
        (
            "as large as it may be",
            SENT,
            MISSING,
            head(content_length="10000"),
            Fill(b"a.jpg", REST),
            "our choice",
        ),
        ("too large", SENT, MISSING, head(content_length="10001"), Reason.TOO_LARGE, "our choice"),
        ("the primary had it", SENT, (Attempt("bucket", 200),), WHOLE, Reason.NOT_FAILED_OVER, "our choice"),
        ("nobody was asked", SENT, (), WHOLE, Reason.NOT_FAILED_OVER, "our choice"),
        ("OPTIONS", Request("OPTIONS", "/a.jpg"), MISSING, WHOLE, Reason.METHOD_NOT_CACHED, "our choice"),
        (
            "the primary was down",
            SENT,
            (Attempt("bucket", 404, Reason.ORIGIN_TIMEOUT), Attempt("site", 200)),
            WHOLE,
            Reason.PRIMARY_STATUS,
            "our choice",
        ),
        (
            "the primary said something else",
            SENT,
            (Attempt("bucket", 503), Attempt("site", 200)),
            WHOLE,
            Reason.PRIMARY_STATUS,
            "our choice",
        ),
        (
            "the site lacks it too",
            SENT,
            (Attempt("bucket", 404), Attempt("site", 404)),
            head(404),
            Reason.SOURCE_STATUS,
            "our choice",
        ),
        ("the site redirects", SENT, MISSING, head(302, location="/b"), Reason.SOURCE_STATUS, "our choice"),
        (
            "the site was cut",
            SENT,
            (Attempt("bucket", 404), Attempt("site", 502, Reason.ORIGIN_CUT)),
            WHOLE,
            Reason.SOURCE_STATUS,
            "our choice",
        ),
        ("for one user", sent(authorization="x"), MISSING, WHOLE, Reason.AUTHORIZATION, "RFC 9111 §3.5"),
        ("by cookies", sent(cookie="a=1"), MISSING, WHOLE, Reason.VARIES, "the key is the path alone"),
        (
            "by a query outside the key",
            Request("GET", "/a.jpg", "w=100"),
            MISSING,
            WHOLE,
            Reason.VARIES,
            "the key is the path alone",
        ),
        ("no-store", SENT, MISSING, head(cache_control="no-store"), Reason.NO_STORE, "RFC 9111 §5.2.2.5"),
    ),
)
def test_on_served(
    request_: Request, trail: tuple[Attempt, ...], response: Head, expected: Fill | Reason
) -> None:
    assert on_served(KEY, request_, trail, response, RULES) == expected


@pytest.mark.parametrize(
    ("key", "prefix", "rules", "trail", "expected"),
    rows(
        ("no rule", KEY, "", (), MISSING, Reason.NO_RULE, "our choice"),
        ("no rule for the path", KEY, "", (DRAFTS, SMALL), MISSING, Reason.NO_RULE, "our choice"),
        ("left out", CacheKey("GET", "/drafts/a"), "", RULES, MISSING, Reason.NO_BACKFILL, "our choice"),
        (
            "a rule's own size",
            CacheKey("GET", "/small/a"),
            "",
            RULES,
            MISSING,
            Reason.TOO_LARGE,
            "our choice",
        ),
        (
            "a rule's own statuses",
            CacheKey("GET", "/small/a"),
            "",
            RULES,
            (Attempt("bucket", 403), Attempt("site", 200)),
            Reason.PRIMARY_STATUS,
            "our choice",
        ),
        (
            "the bucket's origin path",
            KEY,
            "/site",
            RULES,
            MISSING,
            Fill(b"site/a.jpg", REST),
            "CloudFront, Origin path",
        ),
        (
            "escapes",
            CacheKey("GET", "/a%20b+c%25"),
            "",
            RULES,
            MISSING,
            Fill(b"a b+c%", REST),
            "RFC 3986 §2.4",
        ),
        (
            "the rule is found by the collapsed path, the key is not",
            CacheKey("GET", "//x//../drafts2//a"),
            "",
            RULES,
            MISSING,
            Fill(b"/x//../drafts2//a", REST),
            "CloudFront, Path pattern",
        ),
        (
            "left out also so",
            CacheKey("GET", "//drafts/./a"),
            "",
            RULES,
            MISSING,
            Reason.NO_BACKFILL,
            "Path pattern",
        ),
        (
            "a query in the key",
            CacheKey("GET", "/a", "w=1"),
            "",
            RULES,
            MISSING,
            Reason.QUERY_IN_KEY,
            "our choice",
        ),
        ("a folder", CacheKey("GET", "/a/"), "", RULES, MISSING, Reason.BAD_KEY, "S3, Object key names"),
    ),
)
def test_on_served_by_rules(
    key: CacheKey,
    prefix: str,
    rules: tuple[Rule, ...],
    trail: tuple[Attempt, ...],
    expected: Fill | Reason,
) -> None:
    request = Request("GET", key.path, key.query)
    assert on_served(key, request, trail, head(content_length="101"), rules, prefix) == expected


NAMED = replace(REST, sources=("images",))
IMAGES = replace(REST, content_types=("image/*", "application/pdf"), min_object_bytes=5)
GETS = replace(REST, methods=frozenset({"GET"}))
BY_QUERY = Request("GET", "/a.jpg", "token=1")


@pytest.mark.parametrize(
    ("rule", "request_", "trail", "response", "expected"),
    rows(
        ("a method", GETS, SENT, MISSING, WHOLE, Fill(b"a.jpg", GETS), "our choice"),
        (
            "another method",
            GETS,
            Request("HEAD", "/a.jpg"),
            MISSING,
            WHOLE,
            Reason.METHOD_NOT_CACHED,
            "our choice",
        ),
        (
            "a type",
            IMAGES,
            SENT,
            MISSING,
            head(content_type="Image/PNG; q=1"),
            Fill(b"a.jpg", IMAGES),
            "RFC 9110 §8.3.1",
        ),
        (
            "another type",
            IMAGES,
            SENT,
            MISSING,
            head(content_type="imagery/png"),
            Reason.TYPE_NOT_COPIED,
            "RFC 9110 §8.3.1",
        ),
        ("no type", IMAGES, SENT, MISSING, head(), Reason.TYPE_NOT_COPIED, "RFC 9110 §8.3"),
        (
            "too small",
            IMAGES,
            SENT,
            MISSING,
            head(content_type="application/pdf", content_length="4"),
            Reason.TOO_SMALL,
            "our choice",
        ),
        (
            "a part of what is large enough",
            IMAGES,
            SENT,
            MISSING,
            head(206, content_type="text/html", content_length="1"),
            Fill(b"a.jpg", IMAGES),
            "our choice",
        ),
        (
            "a query outside the key, which the source may not depend on",
            NAMED,
            BY_QUERY,
            MISSING,
            WHOLE,
            Fill(b"a.jpg", NAMED),
            "our choice",
        ),
        (
            "what the secondary lacks, a source may have",
            NAMED,
            SENT,
            (Attempt("bucket", 404), Attempt("site", 404)),
            head(404, cache_control="no-store"),
            Fill(b"a.jpg", NAMED),
            "our choice",
        ),
        (
            "what the bucket has, nobody has to give",
            NAMED,
            SENT,
            (Attempt("bucket", 500), Attempt("site", 200)),
            WHOLE,
            Reason.PRIMARY_STATUS,
            "our choice",
        ),
        (
            "for one user",
            NAMED,
            sent(authorization="x"),
            MISSING,
            WHOLE,
            Reason.AUTHORIZATION,
            "RFC 9111 §3.5",
        ),
        ("by cookies", NAMED, sent(cookie="a=1"), MISSING, WHOLE, Reason.VARIES, "the key is the path alone"),
    ),
)
def test_on_served_by_what_a_rule_wants(
    rule: Rule, request_: Request, trail: tuple[Attempt, ...], response: Head, expected: Fill | Reason
) -> None:
    assert on_served(KEY, request_, trail, response, (rule,)) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [("4", Reason.TOO_SMALL), ("5", None), ("10000", None), ("10001", Reason.TOO_LARGE), (None, None)],
)
def test_a_size_is_looked_at_where_it_is_told(length: str | None, expected: Reason | None) -> None:
    rule = replace(REST, min_object_bytes=5)
    assert unfit_object(rule, head(**({"content_length": length} if length else {}))) is expected


def test_every_type_is_meant_where_none_is_named() -> None:
    assert unfit_object(REST, head()) is None
    assert unfit_object(replace(REST, content_types=("*/*",)), head()) is None


def test_the_first_rule_that_matches_decides() -> None:
    assert rule_for("/drafts/a", RULES) is DRAFTS
    assert rule_for("//drafts//a", RULES) is DRAFTS
    assert rule_for("/x/../small/a", RULES) is SMALL
    assert rule_for("/x", RULES) is REST
    assert rule_for("/x", (DRAFTS,)) is None


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    rows(
        ("a path alone", CacheKey("GET", "/a"), "", None, "S3, Object key names"),
        (
            "codings are not kept",
            CacheKey("GET", "/a", headers=(("accept-encoding", "gzip"),)),
            "",
            None,
            "our choice",
        ),
        (
            "a field that was absent",
            CacheKey("GET", "/a", headers=(("origin", None),)),
            "",
            None,
            "our choice",
        ),
        (
            "a field that was there",
            CacheKey("GET", "/a", headers=(("origin", ""),)),
            "",
            Reason.VARIES,
            "our choice",
        ),
        ("the host", CacheKey("GET", "/a", headers=(("host", "h"),)), "", Reason.VARIES, "our choice"),
        ("cookies", CacheKey("GET", "/a", cookies="a=1"), "", Reason.VARIES, "our choice"),
        ("a query", CacheKey("GET", "/a", query="a"), "", Reason.QUERY_IN_KEY, "our choice"),
        ("the root", CacheKey("GET", "/"), "", Reason.BAD_KEY, "S3, Object key names"),
        ("two slashes", CacheKey("GET", "//"), "", Reason.BAD_KEY, "S3, Object key names"),
        ("a folder", CacheKey("GET", "/a/"), "", Reason.BAD_KEY, "S3, Object key names"),
        ("an escaped slash at the end", CacheKey("GET", "/a%2F"), "", Reason.BAD_KEY, "S3, Object key names"),
        (
            "the root under an origin path",
            CacheKey("GET", "/"),
            "/site",
            Reason.BAD_KEY,
            "S3, Object key names",
        ),
        ("a slash at the beginning", CacheKey("GET", "//a"), "", None, "S3, Object key names"),
        ("a key of 1024 bytes", CacheKey("GET", "/" + "a" * 1024), "", None, "S3, Object key names"),
        ("a key of 1025", CacheKey("GET", "/" + "a" * 1025), "", Reason.BAD_KEY, "S3, Object key names"),
        (
            "bytes count, not characters of the path",
            CacheKey("GET", "/" + "%C3%A9" * 512),
            "",
            None,
            "S3, Object key names",
        ),
        (
            "one too many of them",
            CacheKey("GET", "/" + "%C3%A9" * 512 + "a"),
            "",
            Reason.BAD_KEY,
            "S3, Object key names",
        ),
        (
            "the origin path counts",
            CacheKey("GET", "/" + "a" * 1020),
            "/site",
            Reason.BAD_KEY,
            "S3, Object key names",
        ),
    ),
)
def test_unfit_key(key: CacheKey, prefix: str, expected: Reason | None) -> None:
    assert unfit_key(key, prefix) is expected


@pytest.mark.parametrize(
    ("response", "expected"),
    rows(
        ("nothing said", {}, None, "our choice"),
        ("max-age=0 is for everybody", {"cache_control": "max-age=0, no-cache"}, None, "RFC 9111 §5.2.2"),
        ("no-store", {"cache_control": "no-store"}, Reason.NO_STORE, "RFC 9111 §5.2.2.5"),
        ("private", {"cache_control": "private"}, Reason.PRIVATE, "RFC 9111 §5.2.2.7"),
        ("private in part", {"cache_control": 'private="x"'}, Reason.PRIVATE, "RFC 9111 §5.2.2.7"),
        ("a cookie", {"set_cookie": "a=1"}, Reason.SET_COOKIE, "RFC 9111 §7.3"),
        ("Vary: Accept-Encoding", {"vary": "ACCEPT-ENCODING"}, None, "our choice"),
        ("Vary: Origin", {"vary": "Origin, accept-encoding"}, None, "our choice"),
        ("Vary: Cookie", {"vary": "Accept-Encoding, Cookie"}, Reason.VARIES, "RFC 9111 §4.1"),
        ("Vary: Host", {"vary": "Host"}, Reason.VARIES, "RFC 9111 §4.1"),
        ("Vary: *", {"vary": "*"}, Reason.VARIES, "RFC 9111 §4.1"),
    ),
)
def test_unfit_head(response: dict[str, str], expected: Reason | None) -> None:
    assert unfit_head(head(**response)) is expected


@steady
@given(st.text("ab/.%2F5", max_size=12), st.sampled_from(["", "/site"]))
def test_what_is_filled_is_a_key_that_s3_takes(rest: str, prefix: str) -> None:
    key = CacheKey("GET", f"/{rest}")
    verdict = on_served(key, Request("GET", key.path), MISSING, WHOLE, (REST,), prefix)
    if isinstance(verdict, Fill):
        assert 0 < len(verdict.key) <= MAX_KEY_BYTES
        assert not verdict.key.endswith(b"/")
    else:
        assert verdict is Reason.BAD_KEY


MAKING = Rule(Pattern("/made/*"), frozenset({404}), 100, mode=Mode.GENERATE)
HEADS = Rule(Pattern("/heads/*"), frozenset({404}), 100, mode=Mode.REDIRECT, methods=frozenset({"HEAD"}))
OFF = Rule(Pattern("/off/*"), frozenset({404}), 100, enabled=False, mode=Mode.GENERATE)
MADE = Fill(b"made/a b", MAKING)


@pytest.mark.parametrize(
    ("request_", "status", "expected"),
    rows(
        ("it is made", Request("GET", "/made/a%20b"), 404, MADE, "issue 4, generate"),
        ("whatever part is asked for", Request("HEAD", "/made/a%20b"), 404, MADE, "issue 4, generate"),
        ("the bucket knows no query", Request("GET", "/made/a%20b", "v=1"), 404, MADE, "our choice"),
        ("by queue", SENT, 404, None, "issue 4, queue"),
        ("by no rule", Request("GET", "/other"), 404, None, "issue 4, queue"),
        ("not enabled", Request("GET", "/off/a"), 404, Reason.NO_BACKFILL, "the configuration"),
        ("another method", Request("GET", "/heads/a"), 404, Reason.METHOD_NOT_CACHED, "the configuration"),
        ("another status", Request("GET", "/made/a"), 403, Reason.PRIMARY_STATUS, "the configuration"),
        ("no fault", Request("GET", "/made/a"), 200, None, "issue 4, generate"),
        (
            "in somebody's name",
            Request("GET", "/made/a", headers=head(authorization="x").headers),
            404,
            Reason.AUTHORIZATION,
            "RFC 9111 §3.5",
        ),
        ("no object's name", Request("GET", "/made/"), 404, Reason.BAD_KEY, "S3, object keys"),
        ("too long", Request("GET", "/made/" + "a" * 1024), 404, Reason.BAD_KEY, "S3, object keys"),
    ),
)
def test_on_missing(request_: Request, status: int, expected: Fill | Reason | None) -> None:
    rules = (MAKING, HEADS, OFF, SMALL)
    assert on_missing(request_, status, rules) == expected
