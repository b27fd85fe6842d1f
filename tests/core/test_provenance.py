"""What is noted with an object of where it came from."""

import pytest

from edgeproxy.core.message import Head, Headers
from edgeproxy.core.provenance import conditions, is_marked, is_ours, is_unchanged, notes, public_url

DATE = "Tue, 15 Nov 1994 12:45:26 GMT"


def noted(**fields: str) -> Headers:
    return Headers(
        (f"x-amz-meta-edgeproxy-{name.replace('_', '-')}", value) for name, value in fields.items()
    )


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ([], {}),
        ([("ETag", '"a b"')], {"source-etag": '"a b"'}),
        ([("ETag", 'W/"1"'), ("Last-Modified", DATE)], {"source-etag": 'W/"1"', "source-modified": DATE}),
        # S3 keeps ASCII only, and trims
        ([("ETag", '"grün"'), ("Last-Modified", DATE)], {"source-modified": DATE}),
        ([("ETag", '"a  b"')], {}),
        ([("ETag", '"' + "e" * 300 + '"')], {}),
    ],
)
def test_validators_are_kept_as_far_as_s3_can_keep_them(
    fields: list[tuple[str, str]], kept: dict[str, str]
) -> None:
    found = notes(Head(200, Headers(fields)), "http://site/a", "edgeproxy")
    expected = {"filled-by": "edgeproxy", **kept, "source-url": "http://site/a"}
    assert found == {f"edgeproxy-{name}": value for name, value in expected.items()}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:secret@site.test:8443/a%20b?v=1#top", "https://site.test:8443/a%20b?v=1"),
        ("http://site/grün", "http://site/gr%C3%BCn"),
        ("http://[::1]:80/~a", "http://[::1]:80/~a"),
        ("", ""),
        ("http://site/a?b=\udcff", "http://site/a?b=%FF"),
    ],
)
def test_a_url_is_kept_without_secrets(url: str, kept: str) -> None:
    assert public_url(url) == kept
    assert notes(Head(200), url, "edgeproxy").get("edgeproxy-source-url", "") == kept


def test_a_url_that_is_too_long_is_left_out() -> None:
    assert notes(Head(200), "http://site/" + "a" * 1024, "edgeproxy") == {"edgeproxy-filled-by": "edgeproxy"}


def test_a_mark_is_not_for_viewers() -> None:
    assert [is_ours(f) for f in ("X-Amz-Meta-Edgeproxy-Filled-By", "x-amz-meta-a", "etag")] == [
        True,
        False,
        False,
    ]
    assert is_marked(noted(filled_by="edgeproxy"))
    assert not is_marked(Headers([("x-amz-meta-by", "somebody")]))


def test_the_source_is_asked_on_conditions() -> None:
    """RFC 9110 §13.1.2, §13.1.3."""
    assert conditions(noted(source_etag='"1"', source_modified=DATE)) == (
        ("If-None-Match", '"1"'),
        ("If-Modified-Since", DATE),
    )
    assert conditions(noted(filled_by="edgeproxy")) == ()


@pytest.mark.parametrize(
    ("status", "etag", "is_same"),
    [(304, None, True), (200, '"1"', True), (200, '"2"', False), (200, None, False), (404, '"1"', False)],
)
def test_what_has_not_changed(status: int, etag: str | None, is_same: bool) -> None:
    head = Head(status, Headers([("ETag", etag)] if etag is not None else []))
    assert is_unchanged(noted(source_etag='"1"'), head) is is_same
