"""The three questions and their answers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.decision import (
    Fail,
    Fetch,
    Forward,
    Keep,
    Lookup,
    Pass,
    Refresh,
    Serve,
    Verdict,
    excused,
    on_error,
    on_head,
    on_lookup,
    on_reply,
)
from edgeproxy.core.erring import ErrorPolicy
from edgeproxy.core.errors import EdgeError, OriginError, RequestError, timed_out, unreachable
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy, Stored
from edgeproxy.core.wishes import Wishes
from tests.core.conftest import rows, steady

NOW = 784_111_777.0
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
RFC = CachePolicy(TtlPolicy(0, 0, 31_536_000))
FORCED = CachePolicy(TtlPolicy(10, 100, 1_000))
OFF = CachePolicy(TtlPolicy(0, 0, 0))
LEFT = CachePolicy(TtlPolicy(0, 0, 100))
SENT = Request("GET", "/a")


def head(status: int = 200, **values: str) -> Head:
    """`cache_control="..."` becomes `cache-control: ...`."""
    return Head(status, Headers((name.replace("_", "-"), value) for name, value in values.items()))


def kept(response: Head, lifetime_s: float, age_s: float = 0.0) -> Stored:
    return Stored(response, lifetime_s, age_s, NOW)


@pytest.mark.parametrize(
    ("found", "other_variants", "now", "expected"),
    rows(
        ("nothing", None, False, NOW, Fetch(Forward.MISS), "RFC 9211 §2.2"),
        ("nothing that fits", None, True, NOW, Fetch(Forward.VARY_MISS), "RFC 9211 §2.2"),
        ("fresh", kept(head(), 60, 5), False, NOW + 10, Serve(15, 45), "RFC 9111 §4.2"),
        ("fresh among variants", kept(head(), 60), True, NOW, Serve(0, 60), "RFC 9111 §4.1"),
        ("fresh, the clock set back", kept(head(), 60), False, NOW - 999, Serve(0, 60), "RFC 9111 §4.2.3"),
        ("fresh for a moment yet", kept(head(), 60), False, NOW + 59.5, Serve(59.5, 0.5), "RFC 9111 §4.2"),
        (
            "at its end",
            kept(head(), 60),
            False,
            NOW + 60,
            Fetch(Forward.STALE, Reason.STALE),
            "RFC 9111 §4.2",
        ),
        (
            "stale, with validators",
            kept(head(etag='"a"', last_modified=DATE), 60),
            False,
            NOW + 61,
            Fetch(Forward.STALE, Reason.STALE, (("If-None-Match", '"a"'), ("If-Modified-Since", DATE))),
            "RFC 9111 §4.3.1",
        ),
        (
            "kept to be validated each time",
            kept(head(cache_control="no-cache", etag='"a"'), 0),
            False,
            NOW,
            Fetch(Forward.STALE, Reason.NO_CACHE, (("If-None-Match", '"a"'),)),
            "RFC 9111 §5.2.2.4",
        ),
        (
            "no-cache within the min TTL",
            kept(head(cache_control="no-cache"), 10),
            False,
            NOW,
            Serve(0, 10),
            "CloudFront, Managing how long content stays",
        ),
    ),
)
def test_on_lookup(found: Stored | None, other_variants: bool, now: float, expected: Lookup) -> None:
    assert on_lookup(found, other_variants, RFC, now) == expected


VALID = head(etag='"a"')
AGAIN = (("If-None-Match", '"a"'),)
UNWANTED = Fetch(Forward.REQUEST, Reason.REQUEST_DIRECTIVE, AGAIN)
RENEWED = Fetch(Forward.STALE, Reason.STALE, AGAIN)
WINDOW = head(etag='"a"', cache_control="stale-while-revalidate=60")


@pytest.mark.parametrize(
    ("found", "asked", "now", "expected"),
    rows(
        ("no-cache", kept(VALID, 60), Wishes(no_cache=True), NOW, UNWANTED, "RFC 9111 §5.2.1.4"),
        ("old enough", kept(VALID, 60), Wishes(max_age=5), NOW + 5, Serve(5, 55), "RFC 9111 §5.2.1.1"),
        ("too old", kept(VALID, 60), Wishes(max_age=5), NOW + 6, UNWANTED, "RFC 9111 §5.2.1.1"),
        ("fresh enough", kept(VALID, 60), Wishes(min_fresh=60), NOW, Serve(0, 60), "RFC 9111 §5.2.1.3"),
        ("not fresh enough", kept(VALID, 60), Wishes(min_fresh=61), NOW, UNWANTED, "RFC 9111 §5.2.1.3"),
        (
            "no-store may use it",
            kept(VALID, 60),
            Wishes(no_store=True),
            NOW,
            Serve(0, 60),
            "RFC 9111 §5.2.1.5",
        ),
        (
            "stale, and wanted",
            kept(VALID, 60),
            Wishes(max_stale=10),
            NOW + 70,
            Serve(70, -10, Reason.MAX_STALE),
            "RFC 9111 §5.2.1.2",
        ),
        ("too stale", kept(VALID, 60), Wishes(max_stale=10), NOW + 71, RENEWED, "RFC 9111 §5.2.1.2"),
        (
            "stale, and not too old",
            kept(VALID, 60),
            Wishes(max_age=70, max_stale=10),
            NOW + 70,
            Serve(70, -10, Reason.MAX_STALE),
            "RFC 9111 §5.2.1.1",
        ),
        (
            "stale, and too old",
            kept(VALID, 60),
            Wishes(max_age=69, max_stale=10),
            NOW + 70,
            RENEWED,
            "RFC 9111 §5.2.1.1",
        ),
        ("fresh and stale", kept(VALID, 60), Wishes(min_fresh=0, max_stale=9), NOW + 61, RENEWED, "§5.2.1.3"),
        (
            "stale, and the origin forbids it",
            kept(head(etag='"a"', cache_control="must-revalidate"), 60),
            Wishes(max_stale=10),
            NOW + 61,
            RENEWED,
            "RFC 9111 §5.2.2.2",
        ),
        (
            "stale while it is revalidated",
            kept(WINDOW, 60),
            Wishes(max_stale=10),
            NOW + 61,
            Serve(61, -1, Reason.STALE_WHILE_REVALIDATE, RENEWED),
            "RFC 5861 §3",
        ),
        ("max-age wants none", kept(WINDOW, 60), Wishes(max_age=99), NOW + 61, RENEWED, "RFC 9111 §5.2.1.1"),
        (
            "no-store has nothing refreshed",
            kept(WINDOW, 60),
            Wishes(no_store=True),
            NOW + 61,
            RENEWED,
            "RFC 9111 §5.2.1.5",
        ),
        (
            "an excuse is not wanted",
            replace(kept(VALID, 60), excused_until=NOW + 99),
            Wishes(max_age=99),
            NOW + 61,
            RENEWED,
            "RFC 9111 §5.2.1.1",
        ),
        (
            "only from the cache",
            kept(VALID, 60),
            Wishes(only_if_cached=True),
            NOW,
            Serve(0, 60),
            "RFC 9111 §5.2.1.7",
        ),
        (
            "only from the cache, and nothing there",
            None,
            Wishes(only_if_cached=True),
            NOW,
            Fail(504, Reason.ONLY_IF_CACHED),
            "RFC 9111 §5.2.1.7",
        ),
        (
            "only from the cache, and stale",
            kept(VALID, 60),
            Wishes(only_if_cached=True),
            NOW + 60,
            Fail(504, Reason.ONLY_IF_CACHED),
            "RFC 9111 §5.2.1.7",
        ),
        (
            "only from the cache, and newer",
            kept(VALID, 60),
            Wishes(only_if_cached=True, no_cache=True),
            NOW,
            Fail(504, Reason.ONLY_IF_CACHED),
            "RFC 9111 §5.2.1.7",
        ),
    ),
)
def test_on_lookup_with_wishes(found: Stored | None, asked: Wishes, now: float, expected: Lookup) -> None:
    assert on_lookup(found, False, RFC, now, asked) == expected


AGES = st.integers(0, 200)


@steady
@given(
    AGES,
    AGES,
    AGES,
    st.sampled_from(
        ["", "max-age=1", "must-revalidate", "stale-while-revalidate=20", "no-cache", "s-maxage=9"]
    ),
    st.builds(Wishes, st.booleans(), st.booleans(), st.booleans(), *[st.none() | AGES] * 3),
)
def test_what_is_served_is_wanted(life: int, age: int, later: int, said: str, asked: Wishes) -> None:
    """RFC 9111 §4: fresh, or allowed to be stale by both sides; and nothing that is refused."""
    found = Stored(head(cache_control=said, etag='"a"'), life, age, NOW)
    decision = on_lookup(found, False, RFC, NOW + later, asked)
    assert not (asked.only_if_cached and isinstance(decision, Fetch))
    if not isinstance(decision, Serve):
        return
    assert decision.age_s == age + later
    assert decision.fresh_for_s == life - decision.age_s
    assert not asked.no_cache
    assert decision.age_s <= (decision.age_s if asked.max_age is None else asked.max_age)
    assert decision.fresh_for_s >= (decision.fresh_for_s if asked.min_fresh is None else asked.min_fresh)
    if decision.fresh_for_s <= 0:
        assert "revalidate" not in said or "while" in said
        assert said != "no-cache"
        window = 20 if "while" in said else 0
        assert -decision.fresh_for_s <= max(window, asked.max_stale or 0)


@pytest.mark.parametrize(
    ("response", "policy", "expected"),
    rows(
        (
            "fresh",
            head(cache_control="max-age=60"),
            RFC,
            Keep(kept(head(cache_control="max-age=60"), 60, 2)),
            "RFC 9111 §3",
        ),
        (
            "by the default TTL",
            head(),
            FORCED,
            Keep(kept(head(), 100, 2)),
            "CloudFront, Managing how long content stays",
        ),
        ("nothing to go by", head(), RFC, Pass(Reason.NO_LIFETIME), "RFC 9111 §3"),
        (
            "never fresh, but valid",
            head(etag='"a"'),
            RFC,
            Keep(kept(head(etag='"a"'), 0, 2)),
            "RFC 9111 §4.3",
        ),
        (
            "no-cache, but valid",
            head(cache_control="no-cache", last_modified=DATE),
            RFC,
            Keep(kept(head(cache_control="no-cache", last_modified=DATE), 0, 2)),
            "RFC 9111 §5.2.2.4",
        ),
        ("no-cache alone", head(cache_control="no-cache"), RFC, Pass(Reason.NO_CACHE), "RFC 9111 §3"),
        (
            "no-cache under a min TTL",
            head(cache_control="no-cache"),
            FORCED,
            Keep(kept(head(cache_control="no-cache"), 12, 2)),
            "CloudFront, Managing how long content stays",
        ),
        (
            "a min TTL counts from storing, not from a Date long past",
            head(cache_control="max-age=60", age="3600"),
            FORCED,
            Keep(kept(head(cache_control="max-age=60", age="3600"), 3612, 3602)),
            "CloudFront, Managing how long content stays",
        ),
        (
            "too old on arrival",
            head(cache_control="max-age=60", age="60"),
            RFC,
            Pass(Reason.NO_LIFETIME),
            "RFC 9111 §4.2.3",
        ),
        (
            "fresh for a second yet",
            head(cache_control="max-age=3"),
            RFC,
            Keep(kept(head(cache_control="max-age=3"), 3, 2)),
            "RFC 9111 §4.2.3",
        ),
        (
            "the fetch took too long",
            head(cache_control="max-age=2"),
            RFC,
            Pass(Reason.NO_LIFETIME),
            "RFC 9111 §4.2.3",
        ),
        ("no-store", head(cache_control="no-store"), RFC, Pass(Reason.NO_STORE), "RFC 9111 §5.2.2.5"),
        ("an error", head(503), RFC, Pass(Reason.STATUS_NOT_CACHED), "our choice"),
        ("a 304 that nobody asked for", head(304), RFC, Pass(Reason.STATUS_NOT_CACHED), "RFC 9111 §4.3.3"),
        (
            "caching is off",
            head(cache_control="max-age=60"),
            OFF,
            Pass(Reason.CACHING_DISABLED),
            "CloudFront, Managing how long content stays",
        ),
    ),
)
def test_on_reply(response: Head, policy: CachePolicy, expected: Verdict) -> None:
    assert on_reply(SENT, response, policy, None, NOW - 2, NOW) == expected


OLD = head(200, etag='"a"', content_length="5", cache_control="max-age=1", age="9")


@pytest.mark.parametrize(
    ("response", "expected"),
    rows(
        (
            "a 304 refreshes",
            head(304, etag='"a"', cache_control="max-age=60", content_length="0"),
            Refresh(kept(head(200, etag='"a"', content_length="5", cache_control="max-age=60"), 60, 2)),
            "RFC 9111 §4.3.4",
        ),
        (
            "its silence leaves what was said",
            head(304),
            Refresh(kept(head(200, etag='"a"', content_length="5", cache_control="max-age=1"), 1, 2)),
            "RFC 9111 §4.3.4",
        ),
        (
            "its age counts",
            head(304, age="5", cache_control="max-age=60"),
            Refresh(
                kept(head(200, etag='"a"', content_length="5", age="5", cache_control="max-age=60"), 60, 7)
            ),
            "RFC 9111 §4.2.3",
        ),
        (
            "it says not to store it any longer",
            head(304, cache_control="no-store"),
            Refresh(
                kept(head(200, etag='"a"', content_length="5", cache_control="no-store"), 0, 2),
                Reason.NO_STORE,
            ),
            "RFC 9111 §3, §4.3.4",
        ),
        (
            "its cookie is not kept",
            head(304, set_cookie="session=secret", cache_control="max-age=60"),
            Refresh(kept(head(200, etag='"a"', content_length="5", cache_control="max-age=60"), 60, 2)),
            "RFC 9111 §7.3",
        ),
        (
            "another representation's leaves it as stale as it was",
            head(304, etag='"b"', cache_control="max-age=60"),
            Refresh(kept(OLD, 1, 11)),
            "RFC 9111 §4.3.4",
        ),
        (
            "a new one replaces it",
            head(200, etag='"b"', cache_control="max-age=60"),
            Keep(kept(head(200, etag='"b"', cache_control="max-age=60"), 60, 2)),
            "RFC 9111 §4.3.3",
        ),
        ("an error does not", head(500), Pass(Reason.STATUS_NOT_CACHED), "RFC 9111 §4.3.3"),
    ),
)
def test_on_reply_to_a_validation(response: Head, expected: Verdict) -> None:
    assert on_reply(SENT, response, RFC, kept(OLD, 1), NOW - 2, NOW) == expected


def test_on_reply_keeps_the_variant() -> None:
    """RFC 9111 §4.1; the field is kept as it was sent, not as the viewer had it."""
    sent = Request("GET", "/a", headers=Headers([("Accept-Encoding", "br,gzip")]))
    response = head(cache_control="max-age=60", vary="Accept-Encoding, X")
    assert on_reply(sent, response, RFC, None, NOW, NOW) == Keep(
        Stored(response, 60, 0, NOW, ("accept-encoding", "x"), ("br,gzip", None))
    )


def test_on_reply_to_somebody_with_a_key_of_his_own() -> None:
    """RFC 9111 §3.5."""
    policy = CachePolicy(RFC.ttl, KeyPolicy(headers=Selection(Pick.ONLY, frozenset({"authorization"}))))
    sent = Request("GET", "/a", headers=Headers([("Authorization", "Basic eDp5")]))
    response = head(cache_control="max-age=60")
    assert on_reply(sent, response, RFC, None, NOW, NOW) == Pass(Reason.AUTHORIZATION)
    own = replace(kept(response, 60), is_for_everybody=False)
    assert on_reply(sent, response, policy, None, NOW, NOW) == Keep(own)


@pytest.mark.parametrize(
    ("error", "expected"),
    rows(
        (
            "no connection",
            unreachable("site", "refused"),
            Fail(502, Reason.ORIGIN_UNREACHABLE),
            "CloudFront, HTTP 502",
        ),
        (
            "silence",
            timed_out("site", "the answer", 30),
            Fail(504, Reason.ORIGIN_TIMEOUT),
            "CloudFront, HTTP 504",
        ),
    ),
)
def test_on_error(error: OriginError, expected: Fail) -> None:
    assert on_error(error, RFC, None, NOW) == expected


def test_a_viewer_may_take_what_is_stale_in_place_of_a_failure() -> None:
    """RFC 5861 §4."""
    found = kept(head(etag='"a"'), 60)
    assert excused(found, RFC, 503, NOW + 70, Wishes(stale_if_error=11)) is not None
    assert excused(found, RFC, 503, NOW + 70, Wishes(stale_if_error=9)) is None
    assert excused(found, RFC, 503, NOW + 70) is None
    assert excused(None, RFC, 503, NOW, Wishes(stale_if_error=11)) is None
    assert excused(kept(head(404), 60), RFC, 503, NOW, Wishes(stale_if_error=11)) is None


SPECIAL = CachePolicy(TtlPolicy(0, 1, 1), errors=ErrorPolicy(by_status=((502, 3.0), (504, 0.0))))
GUIDE = "CloudFront, How CloudFront caches errors"


@pytest.mark.parametrize(
    ("error", "policy", "rest_s"),
    rows(
        ("no connection", unreachable("site", "refused"), FORCED, 10.0, GUIDE),
        ("a time of its own", unreachable("site", "refused"), SPECIAL, 3.0, GUIDE),
        ("none by the user's word", timed_out("site", "the answer", 30), SPECIAL, 0.0, GUIDE),
        ("all is left to the origin", unreachable("site", "refused"), LEFT, 0.0, "RFC 9111 §3"),
        ("caching is off", unreachable("site", "refused"), OFF, 0.0, GUIDE),
        (
            "the viewer's fault",
            RequestError(Reason.BAD_REQUEST, "the body is cut", status=502),
            FORCED,
            0.0,
            "our choice",
        ),
        ("ours", EdgeError(Reason.INTERNAL, "a fault", status=500), FORCED, 0.0, "our choice"),
        ("the end", EdgeError(Reason.DRAINING, "shutting down", status=503), FORCED, 0.0, "our choice"),
    ),
)
def test_how_long_an_error_is_everybodys(error: EdgeError, policy: CachePolicy, rest_s: float) -> None:
    assert on_error(error, policy, None, NOW) == Fail(error.status, error.reason, rest_s)


SEEN = head(etag='"a"', content_length="5", cache_control="max-age=60")


@pytest.mark.parametrize(
    ("response", "expected"),
    rows(
        ("the same: fresh anew", SEEN, kept(SEEN, 60, 2), "RFC 9111 §4.3.5"),
        (
            "with what it says now",
            head(etag='"a"', cache_control="max-age=90", x_a="1"),
            kept(head(etag='"a"', content_length="5", cache_control="max-age=90", x_a="1"), 90, 2),
            "RFC 9111 §4.3.5",
        ),
        ("another: stale", head(etag='"b"'), kept(SEEN, 30, 30), "RFC 9111 §4.3.5"),
        (
            "of another length: stale",
            head(etag='"a"', content_length="6"),
            kept(SEEN, 30, 30),
            "RFC 9111 §4.3.5",
        ),
        (
            "no longer to be stored: stale",
            head(etag='"a"', cache_control="no-store"),
            kept(SEEN, 30, 30),
            "RFC 9111 §3",
        ),
        ("nothing to tell by", head(cache_control="max-age=90"), None, "our choice"),
        ("an error", head(503, etag='"b"'), None, "RFC 9111 §4.3.5"),
        ("a part", head(206, etag='"b"'), None, "RFC 9111 §4.3.5"),
    ),
)
def test_on_head(response: Head, expected: Stored | None) -> None:
    found = kept(SEEN, 60, 30)
    assert on_head(Request("HEAD", "/a"), response, RFC, found, 5, NOW - 2, NOW) == expected


def test_forward_words_are_those_of_the_rfc() -> None:
    """RFC 9211 §2.2."""
    assert [word.value for word in Forward] == [
        "bypass",
        "method",
        "uri-miss",
        "vary-miss",
        "stale",
        "request",
        "partial",
    ]


@pytest.mark.parametrize("policy", [RFC, FORCED])
def test_what_may_not_be_kept_is_not_whatever_the_min_ttl(policy: CachePolicy) -> None:
    """RFC 9111 §3; CloudFront would keep even `no-store` for the min TTL."""
    response = head(302, cache_control="no-store", date=DATE)
    assert on_reply(SENT, response, policy, None, NOW, NOW, 0.0) == Pass(Reason.NO_STORE)


def test_what_may_be_kept_for_a_while_is_not_kept_longer() -> None:
    missing = head(404, date=DATE, age="5")
    verdict = on_reply(SENT, missing, FORCED, None, NOW, NOW, 1.0)
    assert isinstance(verdict, Keep)
    assert verdict.stored.fresh_for(NOW) == 1.0
    longer = on_reply(SENT, missing, FORCED, None, NOW, NOW, 3600.0)
    assert longer == on_reply(SENT, missing, FORCED, None, NOW, NOW)
