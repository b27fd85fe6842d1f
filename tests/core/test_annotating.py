"""What is added to JSON objects, and what is left alone.  RFC 8259, RFC 9110 §7.7."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.annotating import annotated, annotated_head, bodiless_head, may_annotate
from edgeproxy.core.message import Head, Headers

MORE = {"__server__": "a", "__version__": "1"}
JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    ("method", "status", "fields", "may"),
    [
        ("GET", 200, [JSON], True),
        ("POST", 201, [("Content-Type", "application/problem+json; charset=utf-8")], True),
        ("POST", 200, [JSON, ("Content-Encoding", "identity"), ("Content-Length", "100")], True),
        ("HEAD", 200, [JSON], False),
        ("PUT", 200, [JSON], False),
        ("GET", 206, [JSON], False),
        ("GET", 304, [JSON], False),
        ("GET", 404, [JSON], False),
        ("GET", 200, [], False),
        ("GET", 200, [("Content-Type", "text/json")], False),
        ("GET", 200, [("Content-Type", "application/x-ndjson")], False),
        ("GET", 200, [JSON, ("Content-Encoding", "gzip")], False),
        ("GET", 200, [JSON, ("Cache-Control", "public, no-transform")], False),
        ("GET", 200, [JSON, ("Content-Length", "101")], False),
        ("GET", 200, [JSON, ("Content-Length", "1")], False),
    ],
)
def test_which_answers_may_be_added_to(
    method: str, status: int, fields: list[tuple[str, str]], may: bool
) -> None:
    assert may_annotate(method, Head(status, Headers(fields)), 100) is may


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"{}", b'{"__server__":"a","__version__":"1"}'),
        (b' { "a" : 1.00 } \n', b' { "a" : 1.00 ,"__server__":"a","__version__":"1"} \n'),
        (b"{\n}", b'{\n"__server__":"a","__version__":"1"}'),
        (b"[{}]", None),
        (b'"}"', None),
        (b"null", None),
        (b"", None),
        (b'{"a": 1', None),
        (b"{}{}", None),
        (b'{"__server__": "b"}', None),
        (b'\xef\xbb\xbf{"a": 1}', None),
        ('{"a": 1}'.encode("utf-16"), None),
        (b"[" * 100_000, None),
    ],
)
def test_what_is_added(body: bytes, wanted: bytes | None) -> None:
    assert annotated(body, MORE) == wanted


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _VALUES), st.sampled_from([None, 1]), st.text(), st.booleans())
def test_what_was_there_stays(
    found: dict[str, object], indent: int | None, name: str, ascii_only: bool
) -> None:
    body = json.dumps(found, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    more = annotated(body, {"__server__": name})
    if more is not None:
        assert json.loads(more) == {**found, "__server__": name}
        assert more.startswith(body[:-1].rstrip())


def test_the_head_tells_of_the_new_bytes() -> None:
    old = Headers([JSON, ("ETag", '"x"'), ("Content-MD5", "x"), ("Digest", "x"), ("Content-Length", "2")])
    assert annotated_head(Head(200, old), 7) == Head(200, Headers([JSON, ("Content-Length", "7")]))


TAGGED = [("ETag", '"x"'), ("Content-MD5", "abc"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")]


@pytest.mark.parametrize(
    ("method", "status", "fields", "asked", "keeps"),
    [
        ("HEAD", 200, [JSON, ("Content-Length", "9")], [], False),
        ("HEAD", 200, [JSON, ("Content-Length", "101")], [], True),
        ("HEAD", 200, [("Content-Type", "text/plain"), ("Content-Length", "9")], [], True),
        ("HEAD", 404, [JSON, ("Content-Length", "9")], [], True),
        ("GET", 304, [], [("If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")], False),
        ("GET", 304, [], [("If-None-Match", '"x"')], True),
        ("PUT", 200, [JSON, ("Content-Length", "9")], [], True),
    ],
)
def test_no_bytes_are_promised_that_would_be_others(
    method: str,
    status: int,
    fields: list[tuple[str, str]],
    asked: list[tuple[str, str]],
    keeps: bool,
) -> None:
    """RFC 9110 §9.3.2, §15.4.5."""
    head = Head(status, Headers([*fields, *TAGGED]))
    told = bodiless_head(method, head, Headers(asked), 100)
    assert (told == head) is keeps
    assert "last-modified" in told.headers
    assert keeps or not {"etag", "content-md5", "content-length"} & {name.lower() for name, _ in told.headers}
