"""Who asks for a WebSocket, and what is a 101 that grants it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.websocket import accept, check_handshake, fault, is_asked_for

# RFC 6455 §1.3, the example.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("method", "connection", "upgrade", "asks"),
    [
        ("GET", "Upgrade", "websocket", True),
        ("GET", "keep-alive, upgrade", "WebSocket", True),
        ("POST", "Upgrade", "websocket", False),  # RFC 6455 §4.1: it must be GET
        ("GET", "Upgrade", None, False),
        ("GET", None, "websocket", False),  # RFC 9110 §7.8: both are needed
        ("GET", "keep-alive", "websocket", False),
        ("GET", "Upgrade", "h2c", False),
        ("GET", "Upgrade", "websocket, h2c", False),  # to go on as one of several: we carry but one
        ("GET", "Upgradeable", "websocket", False),
    ],
)
def test_a_request_asks_for_a_websocket_and_nothing_else(
    method: str, connection: str | None, upgrade: str | None, asks: bool
) -> None:
    fields = (("Connection", connection), ("Upgrade", upgrade))
    assert is_asked_for(method, Headers((n, v) for n, v in fields if v is not None)) is asks


@pytest.mark.parametrize(
    ("fields", "is_good"),
    [
        ((("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")), True),
        ((("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "7")), True),  # §4.4: the server says 426
        ((("Sec-WebSocket-Version", "13"),), False),
        ((("Sec-WebSocket-Key", KEY),), False),
        ((("Sec-WebSocket-Key", "dG9vIHNob3J0"), ("Sec-WebSocket-Version", "13")), False),
        ((("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13, 8")), False),
        (
            (("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")),
            False,  # §11.3.1: it must not appear twice
        ),
    ],
)
def test_a_handshake_that_no_server_may_grant_is_refused(
    fields: tuple[tuple[str, str], ...], is_good: bool
) -> None:
    """RFC 6455 §4.2.1."""
    if is_good:
        check_handshake(Headers(fields))
        return
    with pytest.raises(RequestError) as caught:
        check_handshake(Headers(fields))
    assert (caught.value.status, caught.value.reason) == (400, "bad-handshake")


@given(st.binary(max_size=40))
def test_a_key_is_sixteen_bytes(key: bytes) -> None:
    """RFC 6455 §4.1."""
    fields = Headers([("Sec-WebSocket-Key", base64.b64encode(key).decode()), ("Sec-WebSocket-Version", "13")])
    if len(key) == 16:
        check_handshake(fields)
    else:
        with pytest.raises(RequestError):
            check_handshake(fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": ACCEPT}, ""),
        ({"Connection": "upgrade", "Upgrade": "WebSocket", "Sec-WebSocket-Accept": ACCEPT}, ""),
        ({"Connection": "Upgrade", "Upgrade": "h2c", "Sec-WebSocket-Accept": ACCEPT}, "other than"),
        ({"Upgrade": "websocket", "Sec-WebSocket-Accept": ACCEPT}, "other than"),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, "answer to the key"),
        ({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": KEY}, "answer to the key"),
    ],
)
def test_a_101_has_to_be_the_answer_to_the_handshake(fields: dict[str, str], said: str) -> None:
    """RFC 6455 §4.1, what the client has to validate."""
    found = fault(Headers([("Sec-WebSocket-Key", KEY)]), Head(101, Headers(fields.items())))
    assert said in found
    assert bool(found) == bool(said)


def test_the_answer_to_a_key_is_that_of_the_rfc() -> None:
    """RFC 6455 §4.2.2."""
    assert accept(KEY) == ACCEPT
