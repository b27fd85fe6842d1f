"""Which answers to a ping are good ones."""

import pytest

from edgeproxy.core.checking import Bad, Good, Wanted, answered
from tests.core.conftest import rows

BLOCK = b'{"jsonrpc":"2.0","result":{"head_block_number":436,"synced":true,"at":null},"id":1}'
HEAD = Wanted(head_pointer="/result/head_block_number")


def is_there(pointer: str, value: str | None = None) -> Wanted:
    return Wanted(pointer=pointer, value=value)


@pytest.mark.parametrize(
    ("status", "body", "wanted", "expected"),
    rows(
        ("the status alone", 200, b"\xff", Wanted(), Good(), "expect_status"),
        ("another status", 503, BLOCK, HEAD, Bad("it answered 503"), "expect_status"),
        ("a listed status", 401, b"", Wanted(frozenset({200, 401})), Good(), "expect_status"),
        ("a head", 200, BLOCK, HEAD, Good(436), "head_pointer"),
        ("a hex head", 200, b'{"result":"0x1b4"}', Wanted(head_pointer="/result"), Good(436), "head_pointer"),
        ("the document is the head", 200, b"436", Wanted(head_pointer=""), Good(436), "RFC 6901 §5"),
        (
            "an error in place of a head",
            200,
            b'{"jsonrpc":"2.0","error":{"code":-32000},"id":1}',
            HEAD,
            Bad("its answer has no number at /result/head_block_number"),
            "JSON-RPC 2.0 §5.1",
        ),
        ("a value", 200, BLOCK, is_there("/result/synced", "true"), Good(), "expect_value"),
        ("a number", 200, BLOCK, is_there("/id", "1"), Good(), "expect_value"),
        (
            "another value",
            200,
            BLOCK,
            is_there("/result/synced", "false"),
            Bad("its answer has another value at /result/synced"),
            "expect_value",
        ),
        ("any value", 200, BLOCK, is_there("/result"), Good(), "expect_pointer"),
        (
            "null is none",
            200,
            BLOCK,
            is_there("/result/at"),
            Bad("its answer has nothing at /result/at"),
            "expect_pointer",
        ),
        ("unless it is wanted", 200, BLOCK, is_there("/result/at", "null"), Good(), "expect_value"),
        ("no value", 200, BLOCK, is_there("/x", "1"), Bad("its answer has nothing at /x"), "expect_value"),
        ("no JSON", 200, b"<html>", HEAD, Bad("its answer is not JSON"), "RFC 8259 §2"),
        ("cut JSON", 200, BLOCK[:-1], HEAD, Bad("its answer is not JSON"), "RFC 8259 §2"),
        ("no text", 200, b"\xff\xfe\xfd", HEAD, Bad("its answer is not JSON"), "RFC 8259 §8.1"),
        ("too deep", 200, b"[" * 100_000, HEAD, Bad("its answer is not JSON"), "RFC 8259 §9"),
    ),
)
def test_answered(status: int, body: bytes, wanted: Wanted, expected: Good | Bad) -> None:
    assert answered(status, body, wanted) == expected
