"""How long a response may be served, and how old it is."""

from email.utils import formatdate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgeproxy.core.directives import MAX_SECONDS
from edgeproxy.core.freshness import TtlPolicy, age_on_arrival, http_date, lifetime
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import CachePolicy, stored
from tests.core.conftest import rows, steady

NOW = 784_111_777.0
NOW_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT"
HOUR_LATER = "Sun, 06 Nov 1994 09:49:37 GMT"
HOUR_EARLIER = "Sun, 06 Nov 1994 07:49:37 GMT"
RFC = TtlPolicy(0, 0, 31_536_000)
CLOUDFRONT = TtlPolicy(10, 100, 1_000)


def head(**fields: str) -> Head:
    """A 200 with fields; `cache_control="..."` becomes `cache-control: ...`."""
    return Head(200, Headers((name.replace("_", "-"), value) for name, value in fields.items()))


@pytest.mark.parametrize(
    ("text", "seconds"),
    rows(
        ("IMF-fixdate", NOW_TEXT, NOW, "RFC 9110 §5.6.7"),
        ("rfc850-date", "Sunday, 06-Nov-94 08:49:37 GMT", NOW, "RFC 9110 §5.6.7"),
        ("asctime-date", "Sun Nov  6 08:49:37 1994", NOW, "RFC 9110 §5.6.7"),
        ("asctime-date, day of two digits", "Wed Nov 16 08:49:37 1994", NOW + 864_000, "RFC 9110 §5.6.7"),
        ("case does not matter", "sUN, 06 nOV 1994 08:49:37 gmt", NOW, "RFC 9111 §4.2"),
        ("white space around", f" {NOW_TEXT}\t", NOW, "RFC 9110 §5.5"),
        ("a wrong weekday", "Mon, 06 Nov 1994 08:49:37 GMT", NOW, "RFC 9110 §5.6.7"),
        ("the epoch", "Thu, 01 Jan 1970 00:00:00 GMT", 0.0, "RFC 9110 §5.6.7"),
        ("before the epoch", "Wed, 31 Dec 1969 23:59:59 GMT", -1.0, "RFC 9110 §5.6.7"),
        ("after 2038", "Fri, 01 Jan 2100 00:00:00 GMT", 4_102_444_800.0, "RFC 9110 §5.6.7"),
        ("far in the future", "Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799.0, "RFC 9110 §5.6.7"),
        ("year 100", "Fri, 01 Jan 0100 00:00:00 GMT", -59_011_459_200.0, "RFC 9110 §5.6.7"),
        ("a leap day", "Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400.0, "RFC 9110 §5.6.7"),
        ("a leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800.0, "RFC 9110 §5.6.7"),
        ("two digits, 68", "Sunday, 01-Jan-68 00:00:00 GMT", 3_092_601_600.0, "POSIX, see http_date"),
        ("two digits, 69", "Sunday, 01-Jan-69 00:00:00 GMT", -31_536_000.0, "POSIX, see http_date"),
        ("two digits, 00", "Saturday, 01-Jan-00 00:00:00 GMT", 946_684_800.0, "POSIX, see http_date"),
    ),
)
def test_http_date(text: str, seconds: float) -> None:
    assert http_date(text) == seconds


@pytest.mark.parametrize(
    "text",
    rows(
        ("empty", "", "RFC 9110 §5.6.7"),
        ("zero", "0", "RFC 9111 §5.3"),
        ("minus one", "-1", "RFC 9111 §5.3"),
        ("POSIX seconds", "784111777", "RFC 9110 §5.6.7"),
        ("ISO 8601", "1994-11-06T08:49:37Z", "RFC 9110 §5.6.7"),
        ("trailing garbage", f"{NOW_TEXT} x", "RFC 9110 §5.6.7"),
        ("leading garbage", f"x {NOW_TEXT}", "RFC 9110 §5.6.7"),
        ("two of them", f"{NOW_TEXT}, {NOW_TEXT}", "RFC 9110 §5.5"),
        ("a length as of old", f"{NOW_TEXT}; length=1234", "RFC 9110 §5.6.7"),
        ("another zone", "Sun, 06 Nov 1994 08:49:37 +0200", "RFC 9111 §4.2"),
        ("a zone of zero", "Sun, 06 Nov 1994 08:49:37 +0000", "RFC 9111 §4.2"),
        ("an American zone", "Sun, 06 Nov 1994 08:49:37 PST", "RFC 9111 §4.2"),
        ("UTC", "Sun, 06 Nov 1994 08:49:37 UTC", "RFC 9111 §4.2"),
        ("no zone", "Sun, 06 Nov 1994 08:49:37", "RFC 9110 §5.6.7"),
        ("asctime with a zone", "Sun Nov  6 08:49:37 1994 GMT", "RFC 9110 §5.6.7"),
        ("no weekday", "06 Nov 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("no comma", "Sun 06 Nov 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("no seconds", "Sun, 06 Nov 1994 08:49 GMT", "RFC 9110 §5.6.7"),
        ("blanks in a row", "Sun,  06  Nov  1994  08:49:37  GMT", "RFC 9110 §5.6.7"),
        ("a day of one digit", "Sun, 6 Nov 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("an hour of one digit", "Sun, 06 Nov 1994 8:49:37 GMT", "RFC 9110 §5.6.7"),
        ("points in the time", "Sun, 06 Nov 1994 08.49.37 GMT", "RFC 9110 §5.6.7"),
        ("dashes and four digits", "Sun, 06-Nov-1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("two digits in an IMF-fixdate", "Sun, 06 Nov 94 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("year 0", "Sun, 06 Nov 0000 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("year 99 is not 1999", "Sun, 06 Nov 0099 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("year 10000", "Sun, 06 Nov 10000 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("a month that is none", "Sun, 06 Nox 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("31 February", "Thu, 31 Feb 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("29 February of 1900", "Thu, 29 Feb 1900 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("day 0", "Sun, 00 Nov 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", "RFC 9110 §5.6.7"),
        ("minute 60", "Sun, 06 Nov 1994 08:60:00 GMT", "RFC 9110 §5.6.7"),
        ("second 61", "Sun, 06 Nov 1994 08:49:61 GMT", "RFC 9110 §5.6.7"),
        ("digits of another script", "Sun, ٠٦ Nov 1994 08:49:37 GMT", "RFC 9110 §5.6.7"),
        ("a line end", f"{NOW_TEXT}\n", "RFC 9110 §5.5"),
        ("very long", "Sun, 06 Nov " + "9" * 5000 + " 08:49:37 GMT", "RFC 9110 §5.6.7"),
    ),
)
def test_what_is_no_http_date(text: str) -> None:
    assert http_date(text) is None


@steady
@given(st.integers(-59_011_459_200, 253_402_300_799))
def test_http_date_reads_what_servers_write(seconds: int) -> None:
    assert http_date(formatdate(seconds, usegmt=True)) == seconds


@steady
@given(st.text("SunNov 06,-:1994GMT", max_size=32) | st.text())
def test_http_date_never_raises(text: str) -> None:
    seconds = http_date(text)
    assert seconds is None or abs(seconds) < 3e11


TABLE = "CloudFront, Managing how long content stays"


@pytest.mark.parametrize(
    ("fields", "at_rfc", "at_cloudfront"),
    rows(
        ("nothing said: the default TTL", {}, 0, 100, TABLE),
        ("public alone says nothing of time", {"cache_control": "public"}, 0, 100, TABLE),
        ("max-age", {"cache_control": "max-age=60"}, 60, 60, TABLE),
        ("max-age below the min TTL", {"cache_control": "max-age=5"}, 5, 10, TABLE),
        ("max-age above the max TTL", {"cache_control": "max-age=5000"}, 5000, 1000, TABLE),
        ("max-age above a year", {"cache_control": "max-age=99999999999"}, 31_536_000, 1000, TABLE),
        ("max-age of 0", {"cache_control": "max-age=0"}, 0, 10, TABLE),
        (
            "s-maxage before max-age",
            {"cache_control": "max-age=60, s-maxage=50"},
            50,
            50,
            "RFC 9111 §5.2.2.10",
        ),
        ("also when it is 0", {"cache_control": "s-maxage=0, max-age=60"}, 0, 10, "RFC 9111 §5.2.2.10"),
        (
            "max-age before Expires",
            {"cache_control": "max-age=60", "expires": HOUR_LATER},
            60,
            60,
            "RFC 9111 §5.3",
        ),
        (
            "also a malformed one",
            {"cache_control": "max-age=x", "expires": HOUR_LATER},
            0,
            10,
            "RFC 9111 §4.2.1",
        ),
        ("Expires", {"expires": HOUR_LATER}, 3600, 1000, TABLE),
        ("Expires less Date", {"expires": HOUR_LATER, "date": HOUR_EARLIER}, 7200, 1000, "RFC 9111 §4.2.1"),
        ("Date is no date", {"expires": HOUR_LATER, "date": "x"}, 3600, 1000, "RFC 9111 §4.2.1"),
        ("Date in the future", {"expires": HOUR_LATER, "date": HOUR_LATER}, 0, 10, "RFC 9111 §4.2.1"),
        ("Expires in the past", {"expires": HOUR_EARLIER}, 0, 10, "RFC 9111 §5.3"),
        ("Expires of 0", {"expires": "0"}, 0, 10, "RFC 9111 §5.3"),
        ("Expires that is empty", {"expires": ""}, 0, 10, "RFC 9111 §5.3"),
        ("Expires of another zone", {"expires": "Sun, 06 Nov 1994 12:49:37 +0200"}, 0, 10, "RFC 9111 §4.2"),
        ("Expires twice", {"expires": f"{HOUR_LATER}, {HOUR_LATER}"}, 0, 10, "RFC 9111 §4.2.1"),
        (
            "public does not hide Expires",
            {"cache_control": "public", "expires": HOUR_LATER},
            3600,
            1000,
            TABLE,
        ),
        ("no-store", {"cache_control": "no-store, max-age=60"}, 0, 10, TABLE),
        ("no-cache", {"cache_control": "no-cache, s-maxage=60"}, 0, 10, TABLE),
        (
            "no-cache with names",
            {"cache_control": 'no-cache="Set-Cookie", max-age=60'},
            60,
            60,
            "RFC 9111 §5.2.2.4",
        ),
        (
            "private with names",
            {"cache_control": 'private="Set-Cookie", max-age=60'},
            60,
            60,
            "RFC 9111 §5.2.2.7",
        ),
        (
            "no-store for those who do not understand",
            {"cache_control": "no-store, must-understand, max-age=60"},
            60,
            60,
            "RFC 9111 §5.2.2.3",
        ),
        ("not asked for a CDN's own field", {"cdn_cache_control": "max-age=60"}, 0, 100, "RFC 9213 §2.2"),
        ("private", {"cache_control": "private, max-age=60"}, 0, 10, TABLE),
        ("Pragma is for requests", {"pragma": "no-cache"}, 0, 100, "RFC 9111 §5.4"),
        ("Last-Modified is no guess", {"last_modified": "Sun, 06 Nov 1983 08:49:37 GMT"}, 0, 100, TABLE),
    ),
)
def test_ttl_table(fields: dict[str, str], at_rfc: float, at_cloudfront: float) -> None:
    assert lifetime(head(**fields), RFC, NOW) == at_rfc
    assert lifetime(head(**fields), CLOUDFRONT, NOW) == at_cloudfront


GUESSING = TtlPolicy(0, 0, 1_000, heuristic=0.1)
GUESS = {"last_modified": HOUR_EARLIER}


@pytest.mark.parametrize(
    ("status", "fields", "policy", "expected"),
    rows(
        ("a tenth of an hour", 200, GUESS, GUESSING, 360, "RFC 9111 §4.2.2"),
        ("by its Date", 200, GUESS | {"date": HOUR_EARLIER}, GUESSING, 0, "RFC 9111 §4.2.2"),
        ("a Date in the future is none", 200, GUESS | {"date": HOUR_LATER}, GUESSING, 360, "RFC 9111 §4.2.3"),
        ("modified at no date", 200, {"last_modified": "x"}, GUESSING, 0, "RFC 9111 §4.2.2"),
        (
            "no longer than the max TTL",
            200,
            {"last_modified": "Sun, 06 Nov 1983 08:49:37 GMT"},
            GUESSING,
            1_000,
            TABLE,
        ),
        ("modified in the future", 200, {"last_modified": HOUR_LATER}, GUESSING, 0, "RFC 9111 §4.2.2"),
        ("nothing to guess by", 200, {}, GUESSING, 0, "RFC 9111 §4.2.2"),
        ("a lifetime is said", 200, GUESS | {"cache_control": "max-age=5"}, GUESSING, 5, "RFC 9111 §4.2.2"),
        ("a malformed one", 200, GUESS | {"cache_control": "max-age=x"}, GUESSING, 0, "RFC 9111 §4.2.1"),
        ("Expires is said", 200, GUESS | {"expires": "0"}, GUESSING, 0, "RFC 9111 §4.2.2"),
        ("no-cache", 200, GUESS | {"cache_control": "no-cache"}, GUESSING, 0, "RFC 9111 §5.2.2.4"),
        ("a redirect for good", 301, GUESS, GUESSING, 360, "RFC 9110 §15.1"),
        ("a redirect for now", 302, GUESS, GUESSING, 0, "RFC 9110 §15.1"),
        ("a policy that does not guess", 200, GUESS, RFC, 0, "RFC 9111 §4.2.2"),
        ("a default TTL", 200, GUESS, TtlPolicy(0, 50, 1_000, heuristic=0.1), 50, "our choice"),
    ),
)
def test_guess(status: int, fields: dict[str, str], policy: TtlPolicy, expected: float) -> None:
    assert lifetime(Head(status, head(**fields).headers), policy, NOW) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    rows(
        ("instead of Cache-Control", {"cache_control": "no-store"}, 60, "RFC 9213 §2.2"),
        ("instead of Expires", {"expires": "0"}, 60, "RFC 9213 §2.2"),
    ),
)
def test_a_targeted_field_counts_alone(fields: dict[str, str], expected: float) -> None:
    policy = TtlPolicy(is_targeted=True)
    assert lifetime(head(cdn_cache_control="max-age=60", **fields), policy, NOW) == expected
    assert lifetime(head(cdn_cache_control="must-revalidate", **fields), policy, NOW) == 0
    assert lifetime(head(cdn_cache_control="MAX-AGE=60", **fields), policy, NOW) == 0


@pytest.mark.parametrize(
    ("policy", "fields", "expected"),
    rows(
        ("a default below the min TTL", TtlPolicy(10, 5, 1000), {}, 10, TABLE),
        ("a default above the max TTL", TtlPolicy(0, 5000, 1000), {}, 5000, TABLE),
        ("a max TTL below the min TTL", TtlPolicy(10, 0, 5), {"cache_control": "max-age=7"}, 10, TABLE),
        ("parts of a second", TtlPolicy(0.5, 0, 5), {"cache_control": "no-store"}, 0.5, TABLE),
    ),
)
def test_ttl_table_at_its_edges(policy: TtlPolicy, fields: dict[str, str], expected: float) -> None:
    assert lifetime(head(**fields), policy, NOW) == expected


def test_without_a_word_the_origin_decides_up_to_a_year() -> None:
    assert TtlPolicy() == TtlPolicy(min_s=0, default_s=0, max_s=31_536_000)


@pytest.mark.parametrize(
    ("policy", "is_off"),
    rows(
        ("CachingDisabled", TtlPolicy(0, 0, 0), True, "CloudFront, Use managed cache policies"),
        ("the origin decides", TtlPolicy(0, 0, 1), False, "CloudFront, Use managed cache policies"),
        ("a default alone", TtlPolicy(0, 1, 0), False, "CloudFront, Managing how long content stays"),
        ("a minimum alone", TtlPolicy(1, 0, 0), False, "CloudFront, Managing how long content stays"),
    ),
)
def test_all_three_0_is_off(policy: TtlPolicy, is_off: bool) -> None:
    assert policy.is_off is is_off


SECONDS = st.floats(0, 1e9)
CONTROLS = st.lists(
    st.sampled_from(
        [
            "max-age=60",
            "s-maxage=5",
            "max-age=99999999999",
            "no-store",
            "no-cache",
            "private",
            "public",
            "max-age=x",
        ]
    )
).map(", ".join)
DATES = st.sampled_from([NOW_TEXT, HOUR_LATER, HOUR_EARLIER, "0", "", "Fri, 31 Dec 9999 23:59:59 GMT"])


@steady
@given(
    SECONDS,
    SECONDS | st.just(0.0),
    SECONDS,
    st.floats(0, 1),
    st.fixed_dictionaries(
        {},
        optional={
            "cache_control": CONTROLS,
            "cdn_cache_control": CONTROLS,
            "expires": DATES,
            "date": DATES,
            "last_modified": DATES,
        },
    ),
    st.booleans(),
)
def test_lifetime_is_never_outside_the_policy(
    minimum: float, default: float, maximum: float, part: float, said: dict[str, str], is_targeted: bool
) -> None:
    seconds = lifetime(head(**said), TtlPolicy(minimum, default, maximum, is_targeted, part), NOW)
    assert minimum <= seconds <= max(minimum, default, maximum)


@steady
@given(
    st.integers(0, 200),
    st.integers(-200, 200),
    st.integers(0, 200) | st.none(),
    st.floats(0, 200),
    st.floats(-500, 500),
    st.floats(-500, 500),
)
def test_nothing_is_fresh_after_its_time(
    life: int, made: int, age: int | None, took: float, one: float, other: float
) -> None:
    """RFC 9111 §4.2: however its time is told, and whatever the clock does. Times are counted from NOW."""
    date = formatdate(NOW + made, usegmt=True)
    said = {"date": date, "expires": formatdate(NOW + made + life, usegmt=True)}
    for told in (said, said | {"cache_control": f"max-age={life}", "expires": "0"}):
        fields = told if age is None else told | {"age": str(age)}
        response = stored(Request("GET", "/"), head(**fields), CachePolicy(RFC), NOW - took, NOW)
        earlier, later = sorted((one, other))
        assert response.age(earlier) >= 0
        assert response.age(earlier) <= response.age(later)
        assert response.fresh_for(earlier) >= response.fresh_for(later)
        if later >= 0 and response.fresh_for(NOW + later) > 0:
            # By its Date, by the Age that it came with, and by the time on the way.
            assert later < life + made or made > 0
            assert later + (age or 0) + took < life + 1e-6


@pytest.mark.parametrize(
    ("fields", "took", "age"),
    rows(
        ("nothing said", {}, 0.0, 0.0, "RFC 9111 §4.2.3"),
        ("the fetch took its time", {}, 2.5, 2.5, "RFC 9111 §4.2.3"),
        ("Age", {"age": "100"}, 0.0, 100.0, "RFC 9111 §4.2.3"),
        ("Age and the fetch", {"age": "100"}, 2.5, 102.5, "RFC 9111 §4.2.3"),
        ("Date", {"date": HOUR_EARLIER}, 2.5, 3600.0, "RFC 9111 §4.2.3"),
        ("the larger of the two", {"age": "100", "date": HOUR_EARLIER}, 2.5, 3600.0, "RFC 9111 §4.2.3"),
        ("either way", {"age": "5000", "date": HOUR_EARLIER}, 2.5, 5002.5, "RFC 9111 §4.2.3"),
        ("Date now", {"date": NOW_TEXT}, 0.0, 0.0, "RFC 9111 §4.2.3"),
        ("Date in the future", {"date": HOUR_LATER}, 0.5, 0.5, "RFC 9111 §4.2.3"),
        ("Date is no date", {"date": "yesterday"}, 0.0, 0.0, "RFC 9110 §6.6.1"),
        ("a clock set back during the fetch", {"age": "100"}, -50.0, 100.0, "RFC 9111 §4.2.3"),
        ("Age twice: the first", {"age": "100, 5"}, 0.0, 100.0, "RFC 9111 §5.1"),
        ("the first is none", {"age": "x, 5"}, 0.0, 0.0, "RFC 9111 §5.1"),
        ("Age below 0", {"age": "-100"}, 0.0, 0.0, "RFC 9111 §5.1"),
        ("Age with a fraction", {"age": "1.5"}, 0.0, 0.0, "RFC 9111 §5.1"),
        ("Age that is empty", {"age": ""}, 0.0, 0.0, "RFC 9111 §5.1"),
        ("Age in another script", {"age": "١"}, 0.0, 0.0, "RFC 9111 §5.1"),
        ("Age too large", {"age": "9" * 12}, 0.0, float(MAX_SECONDS), "RFC 9111 §1.2.2"),
        (
            "Age of more digits than int takes",
            {"age": "9" * 5000},
            0.0,
            float(MAX_SECONDS),
            "RFC 9111 §1.2.2",
        ),
    ),
)
def test_age_on_arrival(fields: dict[str, str], took: float, age: float) -> None:
    assert age_on_arrival(head(**fields), NOW - took, NOW) == age


@steady
@given(SECONDS, SECONDS, DATES | st.none(), st.text("0123456789,- x", max_size=12) | st.none())
def test_age_on_arrival_is_never_negative(
    requested_at: float, received_at: float, date: str | None, age: str | None
) -> None:
    assume(date != "Fri, 31 Dec 9999 23:59:59 GMT")
    said = {"date": date, "age": age}
    given_head = head(**{name: value for name, value in said.items() if value is not None})
    assert age_on_arrival(given_head, requested_at, received_at) >= max(0.0, received_at - requested_at)
