"""Each kind of value: what it takes and what it refuses. Sizes, durations, addresses: test_units."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgeproxy.config.kinds import (
    BaseUrl,
    CustomHeaderName,
    Decimal,
    Flag,
    FolderPath,
    HeaderName,
    Kind,
    Network,
    OneOf,
    PathText,
    Secret,
    Text,
    Whole,
    is_object_name,
    is_path_prefix,
    is_pattern,
)

# Kind, what it takes (as it is), what it refuses.
TABLE: dict[str, tuple[Kind[str], Iterable[str], Iterable[object]]] = {
    "url": (
        BaseUrl(),
        ["http://a", "https://a.b-c.example:8443", "http://127.0.0.1:9000", "http://[::1]:80", "http://my_service:1"],
        [
            "a", "ftp://a", "http://", "http://a/b", "http://a?b", "http://a#b", "http://u@a", "http://u:p@a",
            "http://a:0", "http://a:65536", "http://a:x", "http://a b", "http://a\nb", "http://a\n", " http://a",
            "http://[::1", "http://[zz]", "http://[1::2::3]", "http://é", "http://-a", "", None, 1, ["http://a"],
        ],
    ),
    "header": (HeaderName(), ["X-A", "host", "a" * 256], ["", "a b", "a:", "é", "a" * 257, "a\n", 1, None]),
    "custom header": (
        CustomHeaderName(),
        ["X-Origin-Verify", "Authorization", "User-Agent"],
        ["Host", "COOKIE", "x-amz-date", "X-Edge-Request-Id", "Transfer-Encoding", "a b", ""],
    ),
    "network": (
        Network(),
        ["10.0.0.0/8", "127.0.0.1", "::1", "fc00::/7", "10.0.0.0/255.0.0.0"],
        ["10.0.0.1/8", "10.0.0.0/33", "a", "", "10.0.0", 10, None],
    ),
    "pattern": (
        PathText(is_pattern, "a pattern", "pattern"),
        ["*", "/*", "*.jpg", "images/*", "/a?c", "/caf%C3%A9/*", "/$x", "/" + "a" * 254],
        [
            "", "/" + "a" * 255, "/a//b", "/a/../b", "/./a", "/café", "/caf%c3%a9", "/%61", "/a b", "/a#b",
            "/%", "/a\n", '/"', 1, None,
        ],
    ),
    "object name": (
        PathText(is_object_name, "an object", "object"),
        ["", "index.html", "a/b.html"],
        ["/index.html", "a?b", "a b", "é", None],
    ),
    "path prefix": (
        PathText(is_path_prefix, "a path", "path"),
        ["", "/production", "/a/b", "/a%20b"],
        ["/", "a", "/a/", "/a?b", "/a b", "/é", None],
    ),
    "text": (Text("[a-z]+", "letters"), ["abc"], ["", "Abc", "abc\n", 1, None, []]),
}  # fmt: skip

TAKEN = [(kind, value) for kind, taken, _ in TABLE.values() for value in taken]
REFUSED = [(kind, value) for kind, _, refused in TABLE.values() for value in refused]


FRACTION = Decimal(0, 1, digits=9, such_as="0.1")


@pytest.mark.parametrize(("kind", "value"), TAKEN, ids=[repr(value)[:40] for _, value in TAKEN])
def test_taken(kind: Kind[str], value: str) -> None:
    assert kind.read(value) == value


@pytest.mark.parametrize(("kind", "value"), REFUSED, ids=[repr(value)[:40] for _, value in REFUSED])
def test_refused(kind: Kind[str], value: object) -> None:
    with pytest.raises(ValueError, match=r"^\S.*\S$"):
        kind.read(value)


def test_a_url_loses_its_slash() -> None:
    assert BaseUrl().read("http://a/") == "http://a"


def test_a_network_with_host_bits_is_told_the_network() -> None:
    with pytest.raises(ValueError, match=r"^10\.0\.0\.0/8, the network of that address$"):
        Network().read("10.1.2.3/8")


@pytest.mark.parametrize(
    ("value", "read"),
    [("~/x", "/home/somebody/x"), ("a b/c", "a b/c"), ("/~x", "/~x"), (Path("/x"), "/x")],
)
def test_a_folder(value: object, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert FolderPath().read(value) == Path(read)
    assert FolderPath().write(Path(read)) == read


@pytest.mark.parametrize("value", ["", "a\0b", None, 1, "~nobody-of-that-name/x"])
def test_what_is_no_folder(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a folder"):
        FolderPath().read(value)


@pytest.mark.parametrize(
    ("value", "read"), [("true", True), ("False", False), ("TRUE", True), (True, True), (False, False)]
)
def test_flags(value: object, read: bool) -> None:
    assert Flag().read(value) is read


@pytest.mark.parametrize("value", ["yes", "on", "1", "", 1, 0, None, []], ids=repr)
def test_what_is_no_flag(value: object) -> None:
    with pytest.raises(ValueError, match=r"^true or false$"):
        Flag().read(value)


@pytest.mark.parametrize(("value", "read"), [("1", 1), ("07", 7), (10, 10)])
def test_whole_numbers(value: object, read: int) -> None:
    assert Whole(1, 10).read(value) == read


@pytest.mark.parametrize(
    "value",
    ["0", "11", "-1", "1.0", "1e0", "", "x", "٣", "9" * 5000, 0, 11, 1.0, True, None, [1]],
    ids=lambda v: repr(v)[:10],
)
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a whole number from 1 to 10$"):
        Whole(1, 10).read(value)


@pytest.mark.parametrize(
    ("value", "read"), [("0", 0), ("1", 1), ("0.1", 0.1), ("1.0", 1), (0, 0), (1, 1), (0.25, 0.25)]
)
def test_fractions(value: object, read: float) -> None:
    fraction = FRACTION.read(value)
    assert (fraction, type(fraction)) == (read, float)
    assert FRACTION.read(str(FRACTION.write(fraction))) == fraction


@pytest.mark.parametrize(
    "value",
    ["1.1", "2", "-0.1", "10%", ".5", "1e-1", "", "x", "٣", "0." + "1" * 5000, 1.1, -1, True, None, [0]],
    ids=lambda v: repr(v)[:10],
)
def test_what_is_no_fraction(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a number from 0 to 1 such as 0\.1$"):
        FRACTION.read(value)


def test_one_of_a_few_numbers() -> None:
    assert OneOf({403, 404}).read("404") == 404
    assert OneOf({403, 404}).read(404) == 404
    for value in ("405", True, None, "x", [404]):
        with pytest.raises(ValueError, match=r"^one of 403, 404$"):
            OneOf({403, 404}).read(value)


def test_a_secret_does_not_show_itself() -> None:
    kind = Secret(Text("[a-z]+", "letters"))
    secret = kind.read("hunter")
    assert secret.get_secret_value() == "hunter"
    assert kind.read(SecretStr("hunter")) == secret
    assert kind.write(secret) == "***"
    assert "hunter" not in repr(secret)
    with pytest.raises(ValueError, match=r"^letters$"):
        kind.read("Hunter2")
