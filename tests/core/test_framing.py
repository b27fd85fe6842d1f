"""Where a response ends.  RFC 9112 §6.3, §9.3."""

import pytest

from edgeproxy.core.framing import Framing, flaw, framing
from edgeproxy.core.message import Head, Headers


def head(status: int = 200, **fields: str) -> Head:
    return Head(status, Headers((name.replace("_", "-"), value) for name, value in fields.items()))


@pytest.mark.parametrize(
    ("method", "version", "given", "keeps_alive", "expected"),
    [
        ("GET", "1.1", head(content_length="3"), True, Framing(True, 3, True, True)),
        ("GET", "1.1", head(content_length="0"), True, Framing(True, 0, True, True)),
        ("GET", "1.1", head(transfer_encoding="chunked"), True, Framing(True, None, True, True)),
        ("GET", "1.1", head(transfer_encoding="Chunked"), True, Framing(True, None, True, True)),
        # Only the end of the connection ends these.
        ("GET", "1.1", head(), False, Framing(True, None, False, False)),
        ("GET", "1.1", head(transfer_encoding="identity"), False, Framing(True, None, False, False)),
        # §6.3, 1: no body, whatever the fields say.
        ("HEAD", "1.1", head(content_length="3"), True, Framing(False, None, True, True)),
        ("HEAD", "1.1", head(), False, Framing(False, None, True, True)),
        ("HEAD", "1.0", head(), False, Framing(False, None, True, False)),
        ("GET", "1.1", head(304, content_length="3"), True, Framing(False, None, True, True)),
        ("GET", "1.1", head(101), True, Framing(False, None, True, True)),
        ("GET", "1.1", head(204), True, Framing(False, None, True, True)),
        # What may come yet cannot be told from the next answer.
        ("GET", "1.1", head(204, content_length="3"), True, Framing(False, None, True, False)),
        ("GET", "1.1", head(204, transfer_encoding="chunked"), True, Framing(False, None, True, False)),
        # §9.3, §6.1.
        ("GET", "1.1", head(content_length="3", connection="close"), True, Framing(True, 3, True, False)),
        ("HEAD", "1.1", head(connection="Close"), False, Framing(False, None, True, False)),
        ("GET", "1.0", head(content_length="3", connection="keep-alive"), True, Framing(True, 3, True, True)),
        ("GET", "1.0", head(transfer_encoding="chunked"), True, Framing(True, None, True, False)),
    ],
)
def test_the_framing_of_an_answer(
    method: str, version: str, given: Head, keeps_alive: bool, expected: Framing
) -> None:
    assert framing(method, version, given, keeps_alive=keeps_alive) == expected


@pytest.mark.parametrize(
    ("version", "given", "codings", "is_usable"),
    [
        ("1.1", head(), [], True),
        ("1.0", head(), [], True),
        ("0.9", head(), [], False),
        ("2.0", head(), [], False),
        ("1.1", head(99), [], False),
        ("1.1", head(content_length="3"), [], True),
        ("1.1", head(content_length="3, 3"), [], False),
        ("1.1", head(content_length="9" * 20), [], False),
        ("1.1", head(transfer_encoding="chunked"), [b"chunked"], True),
        ("1.1", head(transfer_encoding="identity"), [b"Identity"], True),
        ("1.1", head(transfer_encoding="gzip"), [b"gzip"], False),
        ("1.1", head(transfer_encoding="gzip, chunked"), [b"gzip, chunked"], False),
        ("1.1", head(transfer_encoding="chunked, chunked"), [b"chunked", b"chunked"], False),
        ("1.1", head(transfer_encoding="chunked"), [b"chunked\t"], False),
    ],
)
def test_a_head_that_nobody_should_go_by(
    version: str, given: Head, codings: list[bytes], is_usable: bool
) -> None:
    assert (flaw(version, given, codings) == "") is is_usable
