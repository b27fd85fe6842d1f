"""A job as text: the same job again, and a clear word about what is none."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.message import MAX_OBJECT_BYTES, MessageError, job_of, message_text
from edgeproxy.core.key import CacheKey

PATHS = st.text(st.characters(codec="utf-8", exclude_characters=" \x7f?#", min_codepoint=0x21))
TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("\t\xe9"))
TEXTS = st.text(st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
KEYS = st.none() | st.builds(CacheKey, st.just("GET"), TEXTS, TEXTS)


@given(
    st.builds(
        Job,
        group=TEXTS,
        key=st.binary(),
        path=PATHS.map(lambda text: "/" + text),
        cache_key=KEYS,
        max_bytes=st.integers(0, 2**70),
        query=PATHS,
        headers=st.lists(st.tuples(TOKENS, VALUES)).map(tuple),
        refresh=st.booleans(),
    )
)
def test_a_job_is_the_same_after_it_was_written(job: Job) -> None:
    assert job_of(message_text(job)) == job


def test_the_least_that_a_message_has_to_say() -> None:
    said = '{"v":1,"uri":"/a%20b/c.jpg","querystring":"x=1"}'
    assert job_of(said, group="media", prefix={"media": "/production"}) == Job(
        "media", b"production/a b/c.jpg", "/a%20b/c.jpg", None, MAX_OBJECT_BYTES, query="x=1"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "the message: got 'nonsense', want a JSON object"),
        ("[1]", "the message: got '[1]', want a JSON object"),
        ("{}", "v: got None, want 1"),
        ('{"v":2,"uri":"/a"}', "v: got 2, want 1"),
        ('{"v":1}', "uri: got None, want text"),
        ('{"v":1,"uri":"a"}', "uri: got 'a', want a path that begins with \"/\" and has no blanks"),
        ('{"v":1,"uri":"/a b"}', "uri: got '/a b', want a path that begins with \"/\" and has no blanks"),
        ('{"v":1,"uri":"/a","querystring":"\\r"}', "querystring: got '\\r', want a query without blanks"),
        ('{"v":1,"uri":7}', "uri: got 7, want text"),
        ('{"v":1,"uri":"/a","querystring":[]}', "querystring: got [], want text"),
        ('{"v":1,"uri":"/a","key":"\\ud800"}', "key: got '\\ud800', want text that is Unicode"),
        ('{"v":1,"uri":"/a","key_hex":"xy"}', "key_hex: got 'xy', want hexadecimal digits"),
        ('{"v":1,"uri":"/a","refresh":1}', "refresh: got 1, want true or false"),
        ('{"v":1,"uri":"/a","max_bytes":-1}', "max_bytes: got -1, want bytes"),
        ('{"v":1,"uri":"/a","max_bytes":true}', "max_bytes: got True, want bytes"),
        ('{"v":1,"uri":"/a","headers":{}}', "headers: got {}, want a list of [name, value]"),
        ('{"v":1,"uri":"/a","headers":[["a"]]}', "headers: got ['a'] in it, want [name, value]"),
        ('{"v":1,"uri":"/a","headers":[["a:", "b"]]}', "headers: got ['a:', 'b'] in it, want [name, value]"),
        (
            '{"v":1,"uri":"/a","headers":[["a", "\\n"]]}',
            "headers: got ['a', '\\n'] in it, want [name, value]",
        ),
        (
            '{"v":1,"uri":"/a","cache_key":[1,2,3,4,5,6,7]}',
            "cache_key: got [1, 2, 3, 4, 5, 6, 7], want a cache key",
        ),
        ('{"v":1,"uri":"/a","cache_key":[{}]}', "cache_key: got [{}], want a cache key"),
        (
            '{"v":1,"uri":"/\\ud800"}',
            "uri: got '/\\ud800', want a path that begins with \"/\" and has no blanks",
        ),
        ("[" * 100_000, f"the message: got {'[' * 60!r}, want a JSON object"),
    ],
)
def test_what_is_no_job_is_told_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(MessageError) as caught:
        job_of(text)
    assert str(caught.value) == complaint


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(ANYTHING)
def test_no_field_breaks_it(value: object) -> None:
    for name in ("v", "uri", "querystring", "group", "key", "key_hex", "max_bytes", "headers", "cache_key"):
        with contextlib.suppress(MessageError):
            job = job_of(json.dumps({"v": 1, "uri": "/a", name: value}))
            assert job_of(message_text(job)) == job


@given(st.text() | st.binary())
def test_no_text_breaks_it(text: str | bytes) -> None:
    with contextlib.suppress(MessageError):
        job_of(text)
