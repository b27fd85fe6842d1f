"""Conditional requests: what is asked of origins, what viewers are answered."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.message import Head, Headers
from edgeproxy.core.validation import (
    CONDITIONAL,
    agrees,
    freshened,
    is_not_modified,
    is_range_current,
    validators,
)
from tests.core.conftest import rows, steady

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


def fields(**values: str) -> Headers:
    """`if_none_match="..."` becomes `if-none-match: ...`."""
    return Headers((name.replace("_", "-"), value) for name, value in values.items())


@pytest.mark.parametrize(
    ("response", "expected"),
    rows(
        ("none", fields(date=MODIFIED), (), "RFC 9111 §4.3.1"),
        ("a tag", fields(etag='"a"'), (("If-None-Match", '"a"'),), "RFC 9111 §4.3.1"),
        ("a weak tag", fields(etag='W/"a"'), (("If-None-Match", 'W/"a"'),), "RFC 9110 §13.1.2"),
        ("a date", fields(last_modified=MODIFIED), (("If-Modified-Since", MODIFIED),), "RFC 9111 §4.3.1"),
        (
            "both",
            fields(last_modified=MODIFIED, etag='"a"'),
            (("If-None-Match", '"a"'), ("If-Modified-Since", MODIFIED)),
            "RFC 9111 §4.3.1",
        ),
        (
            "as it came",
            fields(last_modified="yesterday"),
            (("If-Modified-Since", "yesterday"),),
            "RFC 9110 §13.1.3",
        ),
    ),
)
def test_validators(response: Headers, expected: tuple[tuple[str, str], ...]) -> None:
    assert validators(Head(200, response)) == expected


def test_the_conditional_fields() -> None:
    """RFC 9110 §13.1."""
    assert {
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
    } == CONDITIONAL


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    rows(
        (
            "its fields replace ours",
            fields(etag='"a"', cache_control="max-age=1", x="-"),
            fields(etag='"a"', cache_control="max-age=2", y="-"),
            fields(etag='"a"', x="-", cache_control="max-age=2", y="-"),
            "RFC 9111 §4.3.4",
        ),
        (
            "all lines of a name",
            Headers([("X", "1"), ("x", "2"), ("Y", "-")]),
            Headers([("x", "3"), ("X", "4")]),
            Headers([("Y", "-"), ("x", "3"), ("X", "4")]),
            "RFC 9111 §3.2",
        ),
        (
            "what describes the bytes stays",
            fields(content_length="9", content_type="a/b", content_encoding="gzip", content_md5="x"),
            fields(
                content_length="0",
                content_type="c/d",
                content_encoding="br",
                content_md5="y",
                content_range="z",
            ),
            fields(content_length="9", content_type="a/b", content_encoding="gzip", content_md5="x"),
            "RFC 9111 §3.2",
        ),
        ("our age is over", fields(age="9", x="-"), fields(), fields(x="-"), "RFC 9111 §4.2.3"),
        ("its age counts", fields(age="9"), fields(age="1"), fields(age="1"), "RFC 9111 §4.2.3"),
        ("its date counts", fields(date=BEFORE), fields(date=AFTER), fields(date=AFTER), "RFC 9111 §4.3.4"),
        ("no date means now", fields(date=BEFORE, x="-"), fields(), fields(x="-"), "RFC 9110 §6.6.1"),
        (
            "its cookie is not for the next viewer",
            fields(x="-"),
            fields(set_cookie="session=secret"),
            fields(x="-"),
            "RFC 9111 §7.3",
        ),
        (
            "a cookie stored on purpose stays",
            fields(set_cookie="a=1"),
            fields(set_cookie="a=2"),
            fields(set_cookie="a=1"),
            "CloudFront, Caching content based on cookies",
        ),
        (
            "nothing of one connection is taken over",
            fields(x="-", keep="1"),
            fields(connection="keep, y", keep_alive="timeout=5", y="-", z="-"),
            fields(x="-", keep="1", z="-"),
            "RFC 9111 §3.1",
        ),
        (
            "a tag made strong on the way stays weak",
            fields(etag='W/"a"'),
            fields(etag='"a"', x="-"),
            fields(etag='W/"a"', x="-"),
            "RFC 9111 §4.3.4",
        ),
        (
            "a tag that we did not know is not of our bytes",
            fields(last_modified=MODIFIED),
            fields(etag='"a"'),
            fields(last_modified=MODIFIED),
            "RFC 9111 §4.3.4",
        ),
        (
            "another representation's 304 changes nothing",
            fields(etag='"a"', date=BEFORE, age="9", cache_control="max-age=1"),
            fields(etag='"b"', date=AFTER, cache_control="max-age=2"),
            fields(etag='"a"', date=BEFORE, age="9", cache_control="max-age=1"),
            "RFC 9111 §4.3.4",
        ),
    ),
)
def test_a_304_freshens_what_is_stored(ours: Headers, theirs: Headers, expected: Headers) -> None:
    assert freshened(Head(200, ours), Head(304, theirs)) == Head(200, expected)


TAGGED = {"etag": '"a"', "last_modified": MODIFIED}


@pytest.mark.parametrize(
    ("request_", "response", "expected"),
    rows(
        ("no condition", {}, TAGGED, False, "RFC 9110 §13.2.2"),
        ("the same tag", {"if_none_match": '"a"'}, TAGGED, True, "RFC 9110 §13.1.2"),
        ("another tag", {"if_none_match": '"b"'}, TAGGED, False, "RFC 9110 §13.1.2"),
        ("a weak one for a strong one", {"if_none_match": 'W/"a"'}, TAGGED, True, "RFC 9110 §8.8.3.2"),
        (
            "a strong one for a weak one",
            {"if_none_match": '"a"'},
            {"etag": 'W/"a"'},
            True,
            "RFC 9110 §8.8.3.2",
        ),
        ("both weak", {"if_none_match": 'W/"a"'}, {"etag": 'W/"a"'}, True, "RFC 9110 §8.8.3.2"),
        ("w/ is no weakness", {"if_none_match": 'w/"a"'}, TAGGED, False, "RFC 9110 §8.8.3"),
        ("case counts in tags", {"if_none_match": '"A"'}, TAGGED, False, "RFC 9110 §8.8.3"),
        ("one of a list", {"if_none_match": '"x", W/"y" ,"a"'}, TAGGED, True, "RFC 9110 §13.1.2"),
        ("none of a list", {"if_none_match": '"x", W/"y","b"'}, TAGGED, False, "RFC 9110 §13.1.2"),
        ("empty members", {"if_none_match": ', ,"a",'}, TAGGED, True, "RFC 9110 §5.6.1"),
        ("a comma in the tag", {"if_none_match": '"a,b"'}, {"etag": '"a,b"'}, True, "RFC 9110 §8.8.3"),
        ("a comma in a list", {"if_none_match": '"x,y", "a,b"'}, {"etag": '"a,b"'}, True, "RFC 9110 §8.8.3"),
        ("a part of a tag is none", {"if_none_match": '"x,a,y"'}, {"etag": "a"}, False, "RFC 9110 §8.8.3"),
        (
            "a blank in the tag",
            {"if_none_match": '"a b"'},
            {"etag": '"a b"'},
            True,
            "RFC 9110 §8.8.3, lenient",
        ),
        ("a backslash is itself", {"if_none_match": r'"a\"'}, {"etag": r'"a\"'}, True, "RFC 9110 §8.8.3"),
        ("the empty tag", {"if_none_match": '""'}, {"etag": '""'}, True, "RFC 9110 §8.8.3"),
        ("no quotes on either side", {"if_none_match": "x, a"}, {"etag": "a"}, True, "lenient"),
        ("no quotes on one side", {"if_none_match": "a"}, TAGGED, False, "RFC 9110 §8.8.3"),
        ("quotes left open", {"if_none_match": '"a'}, TAGGED, False, "RFC 9110 §8.8.3"),
        ("any", {"if_none_match": "*"}, TAGGED, True, "RFC 9110 §13.1.2"),
        ("any, without a tag", {"if_none_match": " * "}, {}, True, "RFC 9110 §13.1.2"),
        ("a tag that is a star", {"if_none_match": '"*"'}, TAGGED, False, "RFC 9110 §13.1.2"),
        ("without a tag", {"if_none_match": '"a"'}, {}, False, "RFC 9110 §13.1.2"),
        ("an empty field", {"if_none_match": ""}, TAGGED, False, "RFC 9110 §13.1.2"),
        ("the same date", {"if_modified_since": MODIFIED}, TAGGED, True, "RFC 9110 §13.1.3"),
        ("a later date", {"if_modified_since": AFTER}, TAGGED, True, "RFC 9110 §13.1.3"),
        ("an earlier date", {"if_modified_since": BEFORE}, TAGGED, False, "RFC 9110 §13.1.3"),
        (
            "the same date in another form",
            {"if_modified_since": "Sunday, 06-Nov-94 08:49:37 GMT"},
            TAGGED,
            True,
            "RFC 9110 §5.6.7",
        ),
        ("no date", {"if_modified_since": "yesterday"}, TAGGED, False, "RFC 9110 §13.1.3"),
        ("two dates", {"if_modified_since": f"{AFTER}, {AFTER}"}, TAGGED, False, "RFC 9110 §13.1.3"),
        (
            "a date of another zone",
            {"if_modified_since": "Sun, 06 Nov 1994 23:59:59 +0200"},
            TAGGED,
            False,
            "RFC 9110 §5.6.7",
        ),
        (
            "nothing to compare a date with",
            {"if_modified_since": AFTER},
            {"etag": '"a"'},
            False,
            "RFC 9110 §13.1.3",
        ),
        ("our date is none", {"if_modified_since": AFTER}, {"last_modified": "x"}, False, "RFC 9110 §13.1.3"),
        (
            "the tag decides alone: modified",
            {"if_none_match": '"b"', "if_modified_since": AFTER},
            TAGGED,
            False,
            "RFC 9110 §13.2.2",
        ),
        (
            "the tag decides alone: not modified",
            {"if_none_match": '"a"', "if_modified_since": BEFORE},
            TAGGED,
            True,
            "RFC 9110 §13.2.2",
        ),
        (
            "also where we have none",
            {"if_none_match": '"a"', "if_modified_since": AFTER},
            {"last_modified": MODIFIED},
            False,
            "RFC 9110 §13.2.2",
        ),
        ("If-Match is for the origin", {"if_match": '"b"'}, TAGGED, False, "RFC 9111 §4.3.2"),
        ("If-Unmodified-Since too", {"if_unmodified_since": BEFORE}, TAGGED, False, "RFC 9111 §4.3.2"),
    ),
)
def test_is_not_modified(request_: dict[str, str], response: dict[str, str], expected: bool) -> None:
    assert is_not_modified(fields(**request_), Head(200, fields(**response))) is expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    rows(
        ("the same tag", fields(etag='"a"'), fields(etag='"a"'), True, "RFC 9111 §4.3.5"),
        ("the same but weak", fields(etag='"a"'), fields(etag='W/"a"'), True, "RFC 9110 §8.8.3.2"),
        ("another tag", fields(etag='"a"'), fields(etag='"b"'), False, "RFC 9111 §4.3.5"),
        ("a tag where there was none", fields(), fields(etag='"a"'), False, "RFC 9111 §4.3.5"),
        ("no tag where there was one", fields(etag='"a"'), fields(), None, "RFC 9111 §4.3.5, stricter"),
        ("the same date", fields(last_modified="x"), fields(last_modified="x"), True, "RFC 9111 §4.3.5"),
        ("another date", fields(last_modified="x"), fields(last_modified="y"), False, "RFC 9111 §4.3.5"),
        (
            "one of two differs",
            fields(etag='"a"', last_modified="x"),
            fields(etag='"a"', last_modified="y"),
            False,
            "RFC 9111 §4.3.5",
        ),
        (
            "the same and its length",
            fields(etag='"a"'),
            fields(etag='"a"', content_length="5"),
            True,
            "RFC 9111 §4.3.5",
        ),
        (
            "the same but its length",
            fields(etag='"a"', content_length="6"),
            fields(etag='"a"', content_length="6"),
            False,
            "RFC 9111 §4.3.5",
        ),
        ("the length alone", fields(), fields(content_length="5"), None, "RFC 9111 §4.3.5, stricter"),
        ("another length alone", fields(), fields(content_length="6"), False, "RFC 9111 §4.3.5"),
    ),
)
def test_a_head_tells_of_what_is_stored(ours: Headers, theirs: Headers, expected: bool | None) -> None:
    assert agrees(Head(200, ours), 5, Head(200, theirs)) is expected


@pytest.mark.parametrize("status", [203, 204, 206, 301, 304, 404, 412, 500])
def test_only_a_200_can_be_not_modified(status: int) -> None:
    """RFC 9110 §13.2.1: conditions count where the answer without them would be a 200."""
    head = Head(status, fields(etag='"a"', last_modified=MODIFIED))
    assert not is_not_modified(fields(if_none_match="*"), head)
    assert not is_not_modified(fields(if_modified_since=AFTER), head)


@pytest.mark.parametrize(
    ("request_", "response", "expected"),
    rows(
        ("absent", {}, TAGGED, True, "RFC 9110 §14.2"),
        ("the same tag", {"if_range": '"a"'}, TAGGED, True, "RFC 9110 §13.1.5"),
        ("another tag", {"if_range": '"b"'}, TAGGED, False, "RFC 9110 §13.1.5"),
        ("a weak tag", {"if_range": 'W/"a"'}, {"etag": 'W/"a"'}, False, "RFC 9110 §13.1.5"),
        ("a weak one for a strong one", {"if_range": 'W/"a"'}, TAGGED, False, "RFC 9110 §8.8.3.2"),
        ("a strong one for a weak one", {"if_range": '"a"'}, {"etag": 'W/"a"'}, False, "RFC 9110 §8.8.3.2"),
        ("a list is no tag", {"if_range": '"a", "b"'}, TAGGED, False, "RFC 9110 §13.1.5"),
        ("a star is no tag", {"if_range": "*"}, TAGGED, False, "RFC 9110 §13.1.5"),
        ("a tag where there is none", {"if_range": '"a"'}, {}, False, "RFC 9110 §13.1.5"),
        ("the same date", {"if_range": MODIFIED}, TAGGED | {"date": AFTER}, True, "RFC 9110 §13.1.5"),
        ("a weak date", {"if_range": MODIFIED}, TAGGED | {"date": MODIFIED}, False, "RFC 9110 §8.8.2.2"),
        ("a date from no clock", {"if_range": MODIFIED}, TAGGED, False, "RFC 9110 §8.8.2.2"),
        (
            "what is no date",
            {"if_range": "x"},
            {"last_modified": "x", "date": AFTER},
            False,
            "RFC 9110 §5.6.7",
        ),
        (
            "a date of one coding among others",
            {"if_range": MODIFIED},
            TAGGED | {"date": AFTER, "content_encoding": "br", "vary": "Accept-Encoding"},
            False,
            "RFC 9110 §8.8.2.2",
        ),
        ("a later date", {"if_range": AFTER}, TAGGED, False, "RFC 9110 §13.1.5"),
        ("an earlier date", {"if_range": BEFORE}, TAGGED, False, "RFC 9110 §13.1.5"),
        ("a date where there is none", {"if_range": MODIFIED}, {"etag": '"a"'}, False, "RFC 9110 §13.1.5"),
        ("an empty field", {"if_range": ""}, TAGGED, False, "RFC 9110 §13.1.5"),
    ),
)
def test_is_range_current(request_: dict[str, str], response: dict[str, str], expected: bool) -> None:
    assert is_range_current(fields(**request_), Head(200, fields(**response))) is expected


TAGS = st.text("ab ,\\W/", max_size=4).map(lambda text: f'"{text}"')


@steady
@given(st.lists(TAGS, max_size=4), TAGS, st.sampled_from([",", ", ", " , "]), st.booleans())
def test_a_tag_is_found_in_a_list_if_it_is_there(
    tags: list[str], tag: str, comma: str, is_weak: bool
) -> None:
    value = comma.join(f"W/{t}" if is_weak else t for t in tags)
    assert is_not_modified(fields(if_none_match=value), Head(200, fields(etag=tag))) is (tag in tags)


@pytest.mark.parametrize("unit", ['"', '",', 'W/"', "W/", 'a"', ",", " ", '" "'])
def test_a_hostile_list_costs_no_more_than_its_length(unit: str) -> None:
    headers, head = fields(if_none_match=(unit * 32768)[:32767]), Head(200, fields(etag='"a"'))
    begun = time.perf_counter()
    is_not_modified(headers, head)
    assert time.perf_counter() - begun < 0.25
