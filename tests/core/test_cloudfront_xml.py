"""CloudFront's API on the wire."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.batch import ApiError, Batch, Page, Recorded, Status
from edgeproxy.core.cloudfront_xml import batch_of, error_xml, invalidation_xml, page_xml
from tests.core.conftest import rows, steady

API = "CloudFront API Reference, CreateInvalidation"
NAMESPACE = "{http://cloudfront.amazonaws.com/doc/2020-05-31/}"
EXAMPLE = """\
<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">
  <Paths><Quantity>2</Quantity><Items><Path>/a.html</Path><Path>/img/*</Path></Items></Paths>
  <CallerReference>any-unique-string</CallerReference>
</InvalidationBatch>"""
LAUGHS = """<!DOCTYPE b [<!ENTITY l "ha"><!ENTITY m "&l;&l;&l;&l;">]>
<InvalidationBatch><Paths><Quantity>0</Quantity></Paths><CallerReference>&m;</CallerReference></InvalidationBatch>"""
FILE = '<!DOCTYPE b [<!ENTITY f SYSTEM "file:///etc/passwd">]><InvalidationBatch>&f;</InvalidationBatch>'


@pytest.mark.parametrize(
    ("body", "paths", "reference"),
    rows(
        ("the example", EXAMPLE, ("/a.html", "/img/*"), "any-unique-string", API),
        (
            "without a namespace",
            EXAMPLE.replace(" xmlns", " x"),
            ("/a.html", "/img/*"),
            "any-unique-string",
            API,
        ),
        (
            "characters",
            EXAMPLE.replace("/a.html", "/&lt;&amp;&#233;é"),
            ("/<&éé", "/img/*"),
            "any-unique-string",
            API,
        ),
        (
            "no path",
            "<InvalidationBatch><Paths><Quantity>0</Quantity></Paths></InvalidationBatch>",
            (),
            "",
            "judged later",
        ),
    ),
)
def test_a_batch_is_read(body: str, paths: tuple[str, ...], reference: str) -> None:
    assert batch_of(body.encode()) == Batch(paths, reference)


@pytest.mark.parametrize(
    ("body", "code"),
    rows(
        ("nothing", "", "MissingBody", API),
        ("blanks", " \n", "MissingBody", API),
        ("no XML", "{}", "MalformedInput", "our guess"),
        ("cut", EXAMPLE[:-5], "MalformedInput", "our guess"),
        ("something else", "<Paths/>", "MalformedInput", "our guess"),
        ("an unknown encoding", '<?xml version="1.0" encoding="x"?><a/>', "MalformedInput", "our guess"),
        ("entities that grow", LAUGHS, "MalformedInput", "CWE-776"),
        ("entities from elsewhere", FILE, "MalformedInput", "CWE-611"),
        ("depth", "<a>" * 100_000, "MalformedInput", "CWE-674"),
        ("another quantity", EXAMPLE.replace(">2<", ">3<"), "InconsistentQuantities", API),
        ("no quantity", EXAMPLE.replace("<Quantity>2</Quantity>", ""), "InconsistentQuantities", API),
        ("no number", EXAMPLE.replace(">2<", ">-2<"), "InconsistentQuantities", API),
        ("a long number", EXAMPLE.replace(">2<", f">{'9' * 10_000}<"), "InconsistentQuantities", API),
    ),
)
def test_what_is_no_batch_is_refused(body: str, code: str) -> None:
    with pytest.raises(ApiError) as refusal:
        batch_of(body.encode())
    assert (refusal.value.code, refusal.value.status) == (code, 400)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)


@steady
@given(st.lists(texts, max_size=4), texts)
def test_what_is_written_is_what_was_read(paths: list[str], reference: str) -> None:
    recorded = Recorded("I1", Batch(tuple(paths), reference), "2026-01-01T00:00:00.000Z", Status.COMPLETED)
    written = ElementTree.fromstring(invalidation_xml(recorded))
    inner = written.find(f"{NAMESPACE}InvalidationBatch")
    assert inner is not None
    assert batch_of(ElementTree.tostring(inner)) == recorded.batch
    assert [part.text for part in written][:3] == ["I1", "2026-01-01T00:00:00.000Z", "Completed"]


@steady
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_comes_is_a_batch_or_refused(body: bytes) -> None:
    with pytest.raises(ApiError):
        batch_of(body)


@pytest.mark.parametrize("is_truncated", [True, False])
def test_a_page_says_where_the_next_one_begins(is_truncated: bool) -> None:
    items = tuple(
        Recorded(number, Batch(("/a",), number), "2026-01-01T00:00:00.000Z") for number in ("I2", "I1")
    )
    written = ElementTree.fromstring(page_xml(Page(items, "I3", 2, is_truncated)))
    told = {part.tag.removeprefix(NAMESPACE): part.text for part in written}
    following = {"NextMarker": "I1"} if is_truncated else {}
    said = {"Marker": "I3", "MaxItems": "2", "IsTruncated": str(is_truncated).lower(), "Quantity": "2"}
    assert told == {**said, **following, "Items": None}


def test_a_million_elements_are_not_kept() -> None:
    with pytest.raises(ApiError) as refusal:
        batch_of(b"<InvalidationBatch>" + b"<a/>" * 100_000 + b"</InvalidationBatch>")
    assert (refusal.value.code, refusal.value.status) == ("BatchTooLarge", 413)


def test_what_xml_cannot_hold_does_not_spoil_an_answer() -> None:
    """XML 1.0 §2.2: it has no NUL, and no half of a surrogate pair."""
    told = ElementTree.fromstring(
        error_xml(ApiError("InvalidArgument", 400, "got a\0\x1b\ud800\ufffeb"), "i")
    )
    assert told.findtext(f".//{NAMESPACE}Message") == "got a\ufffd\ufffd\ufffd\ufffdb"


def test_an_error_says_whose_fault_it_is() -> None:
    told = error_xml(ApiError("NoSuchDistribution", 404, "There is none: <x>"), "id-1").decode()
    assert "<Error><Type>Sender</Type><Code>NoSuchDistribution</Code>" in told
    assert "<Message>There is none: &lt;x&gt;</Message></Error><RequestId>id-1</RequestId>" in told
    assert "<Type>Receiver</Type>" in error_xml(ApiError("ServiceUnavailable", 503, ""), "").decode()
