"""May a response be stored, and what is kept of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy, Stored, may_store, stored, unvalidated
from tests.core.conftest import rows, steady

NOW = 784_111_777.0
RFC = CachePolicy(TtlPolicy(0, 0, 31_536_000))
FORCED = CachePolicy(TtlPolicy(1, 86_400, 31_536_000))
OFF = CachePolicy(TtlPolicy(0, 0, 0))
WITH_COOKIES = CachePolicy(RFC.ttl, KeyPolicy(cookies=Selection(Pick.ALL)))
BY_USER = CachePolicy(RFC.ttl, KeyPolicy(headers=Selection(Pick.ONLY, frozenset({"authorization"}))))


def fields(**values: str) -> Headers:
    """`cache_control="..."` becomes `cache-control: ...`."""
    return Headers((name.replace("_", "-"), value) for name, value in values.items())


def get(**values: str) -> Request:
    return Request("GET", "/a", headers=fields(**values))


STORED_ALWAYS = (200, 203, 204, 300, 301, 302)
STORED_IF_STATED = (307, 308)
STORED_NEVER = (201, 202, 205, 303, 304, 305, 401, 410, 416, 429)
STORED_BY_RULES_OF_THEIR_OWN = (400, 403, 404, 405, 414, 500, 501, 502, 503, 504)


@pytest.mark.parametrize("status", STORED_ALWAYS)
def test_status_that_is_stored(status: int) -> None:
    """RFC 9110 §15.1; CloudFront, HTTP 3xx."""
    assert may_store(get(), Head(status), RFC, NOW) is None


@pytest.mark.parametrize("status", STORED_IF_STATED)
def test_status_that_is_stored_only_with_cache_control(status: int) -> None:
    """CloudFront, HTTP 3xx."""
    assert may_store(get(), Head(status, fields(expires="0")), FORCED, NOW) is Reason.STATUS_NOT_CACHED
    assert may_store(get(), Head(status, fields(cache_control="max-age=1")), RFC, NOW) is None
    assert may_store(get(), Head(status, fields(cache_control="no-store")), RFC, NOW) is Reason.NO_STORE


@pytest.mark.parametrize("status", STORED_NEVER)
def test_status_that_is_not_stored(status: int) -> None:
    """CloudFront, How CloudFront caches HTTP 4xx and 5xx status codes."""
    head = Head(status, fields(cache_control="public, max-age=60"))
    assert may_store(get(), head, FORCED, NOW) is Reason.STATUS_NOT_CACHED


@pytest.mark.parametrize("status", STORED_BY_RULES_OF_THEIR_OWN)
def test_errors_that_may_be_stored(status: int) -> None:
    """CloudFront, How CloudFront caches HTTP 4xx and 5xx status codes: see test_erring."""
    assert may_store(get(), Head(status, fields(cache_control="max-age=60")), FORCED, NOW) is None


def test_part_of_a_response_is_not_stored() -> None:
    """RFC 9111 §3.3."""
    assert may_store(get(), Head(206), FORCED, NOW) is Reason.PARTIAL
    assert may_store(get(), Head(200, fields(content_range="bytes 0-1/2")), FORCED, NOW) is Reason.PARTIAL


@pytest.mark.parametrize(
    ("response", "at_rfc", "forced"),
    rows(
        ("nothing said", {}, None, None, "RFC 9111 §3"),
        ("max-age", {"cache_control": "max-age=60"}, None, None, "RFC 9111 §3"),
        ("no-store", {"cache_control": "no-store"}, Reason.NO_STORE, None, "RFC 9111 §5.2.2.5; min TTL"),
        ("private", {"cache_control": "private"}, Reason.PRIVATE, None, "RFC 9111 §5.2.2.7; min TTL"),
        (
            "private for some fields",
            {"cache_control": 'private="x"'},
            None,
            None,
            "RFC 9111 §5.2.2.7",
        ),
        (
            "a cookie that is for one alone",
            {"cache_control": 'private="Set-Cookie"', "set_cookie": "a=1"},
            None,
            None,
            "RFC 9111 §5.2.2.7",
        ),
        (
            "a cookie that is not to be used again",
            {"cache_control": 'no-cache="Set-Cookie"', "set_cookie": "a=1"},
            None,
            None,
            "RFC 9111 §5.2.2.4",
        ),
        (
            "no-store for those who do not understand",
            {"cache_control": "no-store, must-understand"},
            None,
            None,
            "RFC 9111 §5.2.2.3",
        ),
        (
            "no-store before private",
            {"cache_control": "private, no-store"},
            Reason.NO_STORE,
            None,
            "RFC 9111 §3",
        ),
        ("no-cache", {"cache_control": "no-cache"}, None, None, "RFC 9111 §5.2.2.4"),
        ("Vary: *", {"vary": "*"}, Reason.VARY_STAR, None, "RFC 9111 §4.1; min TTL"),
        ("a star among others", {"vary": "Origin, *"}, Reason.VARY_STAR, None, "RFC 9110 §12.5.5"),
        ("Vary", {"vary": "Cookie"}, None, None, "RFC 9111 §4.1"),
        ("a cookie", {"set_cookie": "a=1"}, Reason.SET_COOKIE, Reason.SET_COOKIE, "RFC 9111 §7.3, stricter"),
        ("Pragma", {"pragma": "no-cache"}, None, None, "RFC 9111 §5.4"),
    ),
)
def test_may_store(response: dict[str, str], at_rfc: Reason | None, forced: Reason | None) -> None:
    assert may_store(get(), Head(200, fields(**response)), RFC, NOW) is at_rfc
    assert may_store(get(), Head(200, fields(**response)), FORCED, NOW) is forced


def test_nothing_is_stored_when_caching_is_off() -> None:
    """CloudFront, CachingDisabled."""
    assert (
        may_store(get(), Head(200, fields(cache_control="max-age=60")), OFF, NOW) is Reason.CACHING_DISABLED
    )


def test_a_cookie_is_stored_where_cookies_are_in_the_key() -> None:
    """CloudFront, Caching content based on cookies."""
    assert may_store(get(), Head(200, fields(set_cookie="a=1")), WITH_COOKIES, NOW) is None


@pytest.mark.parametrize(
    ("control", "expected"),
    rows(
        ("nothing said", None, Reason.AUTHORIZATION, "RFC 9111 §3.5"),
        ("max-age is not enough", "max-age=60", Reason.AUTHORIZATION, "RFC 9111 §3.5"),
        ("public", "public", None, "RFC 9111 §3.5"),
        ("s-maxage", "s-maxage=60", None, "RFC 9111 §3.5"),
        ("s-maxage of 0", "s-maxage=0", None, "RFC 9111 §3.5"),
        ("must-revalidate", "must-revalidate", None, "RFC 9111 §3.5"),
        ("proxy-revalidate is not enough", "proxy-revalidate", Reason.AUTHORIZATION, "RFC 9111 §3.5"),
        ("private", "private, must-revalidate", Reason.PRIVATE, "RFC 9111 §3"),
    ),
)
def test_an_answer_to_somebody_who_said_who_he_is(control: str | None, expected: Reason | None) -> None:
    head = Head(200, fields(cache_control=control) if control is not None else Headers())
    assert may_store(get(authorization="Basic eDp5"), head, RFC, NOW) is expected


def test_authorization_in_the_key_makes_an_object_of_each_user() -> None:
    """CloudFront, Add custom headers: Authorization goes to the cache policy."""
    assert may_store(get(authorization="Basic eDp5"), Head(200), BY_USER, NOW) is None


def test_a_min_ttl_does_not_share_what_is_for_one_user() -> None:
    """RFC 9111 §3.5: stricter than CloudFront, which would not have forwarded the field."""
    assert may_store(get(authorization="Basic eDp5"), Head(200), FORCED, NOW) is Reason.AUTHORIZATION


def test_what_is_kept_of_a_response() -> None:
    """RFC 9111 §3.1, §4.1, §4.2."""
    sent = get(origin="o", accept_encoding="br")
    head = Head(
        200,
        fields(
            connection="x-hop",
            x_hop="1",
            keep_alive="timeout=5",
            cache_control="max-age=60",
            age="7",
            vary="X-Absent, Origin",
        ),
    )
    assert stored(sent, head, RFC, 100.0, 102.5) == Stored(
        head=Head(200, fields(cache_control="max-age=60", age="7", vary="X-Absent, Origin")),
        lifetime_s=60,
        age_at_arrival_s=9.5,
        received_at=102.5,
        vary=("origin", "x-absent"),
        variant=("o", None),
        is_for_everybody=False,
    )


@pytest.mark.parametrize(
    ("control", "kept_fields", "shown_fields"),
    rows(
        ("nothing named", "max-age=60", {"x_a", "x_b", "set_cookie"}, {"x_a", "x_b", "set_cookie"}, "§3"),
        ("private", 'private="X-A"', {"x_b", "set_cookie"}, {"x_b", "set_cookie"}, "RFC 9111 §5.2.2.7"),
        (
            "no-cache",
            'no-cache="X-A"',
            {"x_a", "x_b", "set_cookie"},
            {"x_b", "set_cookie"},
            "RFC 9111 §5.2.2.4",
        ),
        ("a cookie", 'no-cache="X-A, Set-Cookie"', {"x_a", "x_b"}, {"x_b"}, "RFC 9111 §5.2.2.4, stricter"),
        (
            "what is not there",
            'private="X-C"',
            {"x_a", "x_b", "set_cookie"},
            {"x_a", "x_b", "set_cookie"},
            "§3",
        ),
    ),
)
def test_fields_that_are_named_are_not_for_everybody(
    control: str, kept_fields: set[str], shown_fields: set[str]
) -> None:
    said = {"x_a": "1", "x_b": "2", "set_cookie": "a=1"}

    def those(names: set[str]) -> Head:
        return Head(200, fields(cache_control=control, **{n: v for n, v in said.items() if n in names}))

    response = stored(get(), those(set(said)), WITH_COOKIES, NOW, NOW)
    assert response.head == those(kept_fields)
    assert unvalidated(response, WITH_COOKIES).head == those(shown_fields)


def test_a_field_that_only_a_cdn_may_not_use() -> None:
    """RFC 9213 §2.2."""
    response = stored(
        get(), Head(200, fields(cdn_cache_control='max-age=60, no-cache="x-a"', x_a="1")), RFC, NOW, NOW
    )
    assert "x-a" in unvalidated(response, RFC).head.headers
    assert "x-a" not in unvalidated(response, CachePolicy(TtlPolicy(is_targeted=True))).head.headers


def kept(lifetime_s: float = 60.0, age_s: float = 10.0) -> Stored:
    return Stored(Head(200), lifetime_s, age_s, received_at=1000.0)


@pytest.mark.parametrize(
    ("now", "age", "fresh_for"),
    rows(
        ("on arrival", 1000.0, 10.0, 50.0, "RFC 9111 §4.2.3"),
        ("later", 1020.5, 30.5, 29.5, "RFC 9111 §4.2.3"),
        ("at its end", 1050.0, 60.0, 0.0, "RFC 9111 §4.2"),
        ("beyond it", 1100.0, 110.0, -50.0, "RFC 9111 §4.2"),
        ("a clock set back", 900.0, 10.0, 50.0, "RFC 9111 §4.2.3"),
    ),
)
def test_age_and_freshness(now: float, age: float, fresh_for: float) -> None:
    assert (kept().age(now), kept().fresh_for(now)) == (age, fresh_for)


SECONDS = st.floats(0, 1e10)


@steady
@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_age_is_never_negative_and_never_falls(
    age_s: float, received_at: float, one: float, other: float
) -> None:
    """Not below what it was on arrival, however far the clock is set back."""
    response = Stored(Head(200), 60.0, age_s, received_at)
    earlier, later = sorted((one, other))
    assert 0 <= age_s <= response.age(earlier) <= response.age(later)
    assert response.fresh_for(earlier) >= response.fresh_for(later)


@steady
@given(st.floats(0, 1e5), st.integers(0, 10**5), st.floats(0, 1e5), st.floats(0, 1, exclude_max=True))
def test_nothing_changes_in_whole_seconds_while_it_is_steady(
    age_s: float, lifetime_s: int, after: float, share: float
) -> None:
    """What is shown is `Age` and `ttl`, both in whole seconds.  RFC 9111 §5.1, RFC 9211 §2.6."""
    response = Stored(Head(200), float(lifetime_s), age_s, received_at=1_700_000_000.0)
    now = response.received_at + after
    until = response.steady_until(now)
    assert until - now <= 1
    later = now + share * (until - now)
    if response.fresh_for(now) > 0 and now <= later < until:
        assert int(response.age(later)) == int(response.age(now))
        assert int(response.fresh_for(later)) == int(response.fresh_for(now))
        assert response.fresh_for(later) > 0


def test_it_is_steady_for_most_of_a_second() -> None:
    assert 1000.99 < kept().steady_until(1000.01) < 1001
    assert 1000.99 < kept().steady_until(1000.5) < 1001
    assert 1000.29 < kept(age_s=10.7).steady_until(1000.0) < 1000.3
    # 50 seconds are left, and a moment later it is 49.
    assert kept().steady_until(1000.0) < 1000.0
