"""Normal form of paths, patterns, object keys."""

import itertools
import operator
import string
import time
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.errors import RequestError
from edgeproxy.core.paths import Pattern, collapsed, key_path, normalise, object_key, same_address
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows, steady


@pytest.mark.parametrize(
    ("path", "expected"),
    rows(
        ("the root", "/", "/", "RFC 3986 §3.3"),
        ("unreserved", "/aZ09-._~", "/aZ09-._~", "RFC 3986 §2.3"),
        ("sub-delims, colon and at stay raw", "/!$&'()*+,;=:@", "/!$&'()*+,;=:@", "RFC 3986 §2.2"),
        ("and stay escaped", "/%21%24%2b%3B%40", "/%21%24%2B%3B%40", "RFC 3986 §6.2.2.2"),
        ("unreserved is decoded", "/%61%7E%2D%5f%30", "/a~-_0", "RFC 3986 §6.2.2.2"),
        ("digits of escapes in upper case", "/%c3%a9", "/%C3%A9", "RFC 3986 §6.2.2.1"),
        ("decoded once only", "/%2561", "/%2561", "RFC 3986 §2.4"),
        ("an escaped percent sign", "/%25", "/%25", "RFC 3986 §2.4"),
        ("a plus is no space", "/+%2B%20", "/+%2B%20", "RFC 3986 §2.2"),
        ("raw UTF-8", "/é", "/%C3%A9", "RFC 3987 §3.1"),
        ("a raw byte that is no UTF-8", "/\udce9", "/%E9", "RFC 3986 §2.5"),
        ("raw beside escaped", "/é%c3%a9\U0001f600", "/%C3%A9%C3%A9%F0%9F%98%80", "RFC 3987 §3.1"),
        ("raw and unsafe", '/|[]^`{}"<>', "/%7C%5B%5D%5E%60%7B%7D%22%3C%3E", "RFC 3986 §2.1"),
        ("escaped and unsafe", "/%7c%22", "/%7C%22", "RFC 3986 §6.2.2.1"),
        ("runs of slashes stay", "//a///b//", "//a///b//", "RFC 3986 §3.3"),
        ("case stays", "/A/a", "/A/a", "RFC 3986 §6.2.2.1"),
        ("dots within names", "/.a/..b/c./d../...", "/.a/..b/c./d../...", "RFC 3986 §3.3"),
        ("an escaped control character", "/%0a%7F", "/%0A%7F", "RFC 3986 §2.1"),
        ("escaped ? and #", "/%3f%23", "/%3F%23", "RFC 3986 §2.2"),
    ),
)
def test_normal_form(path: str, expected: str) -> None:
    assert normalise(path) == expected


INVALID = (
    ("empty", "", "RFC 9112 §3.2.1"),
    ("not rooted", "a", "RFC 9112 §3.2.1"),
    ("the asterisk form", "*", "RFC 9112 §3.2.4"),
    ("an absolute form", "http://host/", "RFC 9112 §3.2.2"),
    ("a lone percent sign", "/%", "RFC 3986 §2.1"),
    ("half an escape", "/a%2", "RFC 3986 §2.1"),
    ("no hexadecimal digits", "/%zz", "RFC 3986 §2.1"),
    ("digits of another script", "/%٢٢", "RFC 3986 §2.1"),
    ("a signed escape", "/%+1", "RFC 3986 §2.1"),
    ("a space", "/a b", "RFC 3986 §2.1"),
    ("a space beside raw UTF-8", "/é b", "RFC 3986 §2.1"),
    ("a line end", "/a\n", "RFC 9112 §2.2"),
    ("a line end beside raw UTF-8", "/é\r\nx", "RFC 9112 §2.2"),
    ("a tab", "/a\tb", "RFC 3986 §2.1"),
    ("DEL", "/\x7f", "RFC 3986 §2.1"),
    ("NUL", "/\x00", "RFC 3986 §7.3"),
    ("NUL beside raw UTF-8", "/é\x00", "RFC 3986 §7.3"),
    ("a query", "/a?b", "RFC 3986 §3.3"),
    ("a fragment", "/a#b", "RFC 3986 §3.3"),
    ("a fragment beside raw UTF-8", "/é#b", "RFC 3986 §3.3"),
    ("a surrogate that stands for no byte", "/\ud800", "RFC 3629 §3"),
)


@pytest.mark.parametrize("allow_ambiguous", [False, True], ids=["refuse", "pass"])
@pytest.mark.parametrize("path", rows(*INVALID))
def test_what_is_no_path_is_refused(path: str, allow_ambiguous: bool) -> None:
    with pytest.raises(RequestError, match=r"^the path is not a valid URI path$") as raised:
        normalise(path, allow_ambiguous=allow_ambiguous)
    assert (raised.value.reason, raised.value.status) == (Reason.BAD_PATH, 400)


@pytest.mark.parametrize("allow_ambiguous", [False, True], ids=["refuse", "pass"])
@pytest.mark.parametrize("path", ["/%00", "/a%00.jpg", "/é%00"])
def test_an_escaped_nul_is_always_refused(path: str, allow_ambiguous: bool) -> None:
    """RFC 3986 §7.3."""
    with pytest.raises(RequestError, match=r"^the path holds an escaped NUL$") as raised:
        normalise(path, allow_ambiguous=allow_ambiguous)
    assert (raised.value.reason, raised.value.status) == (Reason.BAD_PATH, 400)


SLASH = "the path holds an escaped slash"
DOTS = 'the path holds a "." or ".." segment'


@pytest.mark.parametrize(
    ("path", "message", "passed"),
    rows(
        ("an escaped slash", "/a%2fb", SLASH, "/a%2Fb", "RFC 3986 §2.2"),
        ("an escaped backslash", "/a%5cb", SLASH, "/a%5Cb", "WHATWG URL §4.4"),
        ("a raw backslash", "/a\\b", SLASH, "/a%5Cb", "WHATWG URL §4.4"),
        ("dots to an escaped slash", "/a/..%2Fb", SLASH, "/a/..%2Fb", "RFC 3986 §7.3"),
        (".", "/./a", DOTS, "/./a", "RFC 3986 §5.2.4"),
        ("..", "/a/../b", DOTS, "/a/../b", "RFC 3986 §5.2.4"),
        (". at the end", "/a/.", DOTS, "/a/.", "RFC 3986 §5.2.4"),
        (".. at the end", "/a/..", DOTS, "/a/..", "RFC 3986 §5.2.4"),
        ("%2e%2e", "/a/%2e%2e/b", DOTS, "/a/../b", "RFC 3986 §6.2.2.3"),
        (".%2E", "/a/.%2E/b", DOTS, "/a/../b", "RFC 3986 §6.2.2.3"),
        (".. after runs of slashes", "//..//", DOTS, "//..//", "RFC 3986 §5.2.4"),
    ),
)
def test_a_path_that_may_be_read_in_two_ways_is_refused_or_passed(
    path: str, message: str, passed: str
) -> None:
    with pytest.raises(RequestError) as raised:
        normalise(path)
    assert (raised.value.reason, raised.value.status, raised.value.message) == (Reason.BAD_PATH, 400, message)
    assert normalise(path, allow_ambiguous=True) == passed


PIECES = st.lists(
    st.sampled_from(
        ["/", "//", "a", "B", ".", "..", "%", "%41", "%2f", "%c3%A9", "%25", "é", "|", "+", "\udcff", "~"]
    )
).map(lambda pieces: "/" + "".join(pieces))


def normal_or_none(path: str, *, allow_ambiguous: bool = True) -> str | None:
    try:
        return normalise(path, allow_ambiguous=allow_ambiguous)
    except RequestError:
        return None


@steady
@given(PIECES | st.text().map(lambda text: f"/{text}"))
def test_normalise_is_idempotent_and_never_changes_the_object_key(path: str) -> None:
    normal = normal_or_none(path)
    if normal is not None:
        assert normalise(normal, allow_ambiguous=True) == normal
        assert normal.isascii()
        assert object_key(normal) == unquote_to_bytes(path.encode("utf-8", "surrogateescape"))[1:]
        assert normal_or_none(path, allow_ambiguous=False) in (normal, None)


@steady
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_spellings_of_a_path_have_one_normal_form(raw: bytes, other: bytes) -> None:
    """RFC 3986 §6.2.2: escapes of unreserved characters, and the case of digits, say nothing."""
    unreserved = (string.ascii_letters + string.digits + "-._~").encode()

    def spell(upper: bool, escaped: bool) -> str:
        form = "%{:02X}" if upper else "%{:02x}"
        return "/" + "".join(chr(b) if b in unreserved and not escaped else form.format(b) for b in raw if b)

    forms = {
        normalise(spell(upper, escaped), allow_ambiguous=True)
        for upper, escaped in itertools.product((False, True), repeat=2)
    }
    assert len(forms) == 1


def removed_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4, step by step."""
    output = ""
    while path:
        if path.startswith("/./"):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../") or path == "/..":
            path = "/" + path[4:]
            output = output.rpartition("/")[0]
        else:
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            output, path = output + path[:end], path[end:]
    return output


@pytest.mark.parametrize(
    ("path", "expected"),
    rows(
        ("nothing to do", "/a/b.c", "/a/b.c", "RFC 3986 §5.2.4"),
        ("the RFC's example", "/a/b/c/./../../g", "/a/g", "RFC 3986 §5.2.4"),
        ("CloudFront's example", "/a/b/..", "/a/", "CloudFront, Path pattern"),
        ("above the root", "/../../a", "/a", "RFC 3986 §5.4.2"),
        ("nothing left", "/a/..", "/", "RFC 3986 §5.2.4"),
        ("a dot at the end", "/a/.", "/a/", "RFC 3986 §5.2.4"),
        ("dots alone", "/..", "/", "RFC 3986 §5.2.4"),
        ("a slash at the end stays", "/a/", "/a/", "RFC 3986 §5.2.4"),
        ("runs of slashes", "//a///b//", "/a/b/", "CloudFront, Path pattern"),
        ("slashes alone", "///", "/", "CloudFront, Path pattern"),
        ("runs are one before .. is looked at", "/a//../b", "/b", "our choice"),
        ("names that begin with dots", "/.a/..b/...", "/.a/..b/...", "RFC 3986 §5.2.4"),
        ("escapes are left alone", "/a/%2E%2E/b", "/a/%2E%2E/b", "normalise decodes them"),
    ),
)
def test_behaviours_are_matched_on_the_collapsed_path(path: str, expected: str) -> None:
    assert collapsed(path) == expected


@steady
@given(st.lists(st.sampled_from(["a", "bc", ".", "..", "...", ".a"])), st.sampled_from(["", "/"]))
def test_collapsed_does_as_the_rfc_does(segments: list[str], end: str) -> None:
    path = "/" + "/".join(segments) + (end if segments else "")
    assert collapsed(path) == removed_dot_segments(path)


@steady
@given(st.text("/.a", max_size=20))
def test_collapsed_is_idempotent_and_has_no_dots_nor_runs(text: str) -> None:
    path = collapsed(f"/{text}")
    assert collapsed(path) == path
    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    rows(
        ("the default", "*", "/", True, "CloudFront, Path pattern"),
        ("* takes slashes", "/img/*.jpg", "/img/a/b.jpg", True, "CloudFront, Path pattern"),
        ("* takes nothing", "/img*.jpg", "/img.jpg", True, "CloudFront, Path pattern"),
        ("the whole path counts", "/img", "/img/", False, "CloudFront, Path pattern"),
        ("from its beginning", "/img*", "/x/img", False, "CloudFront, Path pattern"),
        ("a leading slash is optional", "img/*", "/img/a", True, "CloudFront, Path pattern"),
        ("but it is a slash", "img/*", "/ximg/a", False, "CloudFront, Path pattern"),
        ("a leading star may take nothing", "*/x", "/x", True, "CloudFront, Path pattern"),
        ("a leading star is no slash", "*.jpg", "/a.jpg", True, "CloudFront, Path pattern"),
        ("? takes one", "/a?c", "/abc", True, "CloudFront, Path pattern"),
        ("? takes a slash", "/a?c", "/a/c", True, "CloudFront, Path pattern"),
        ("? never takes none", "/a?c", "/ac", False, "CloudFront, Path pattern"),
        ("case matters", "/IMG/*", "/img/a", False, "CloudFront, Path pattern"),
        ("a point is a point", "/a.b", "/axb", False, "CloudFront, Path pattern"),
        ("a dollar is a dollar", "/a$b", "/a$b", True, "CloudFront, Path pattern"),
        ("an ampersand", "/a&b+c", "/a&b+c", True, "CloudFront, Path pattern"),
        ("what paths escape, raw", '/a"b', "/a%22b", True, "CloudFront, Path pattern"),
        ("in another spelling", "/%c3%a9%61", "/%C3%A9a", True, "RFC 3986 §6.2.2"),
        ("beyond ASCII", "/é/*", "/%C3%A9/x", True, "RFC 3987 §3.1"),
        ("a space", "/my docs/*", "/my%20docs/x", True, "RFC 3986 §2.1"),
        ("an escaped star is no star", "/%2a", "/x", False, "RFC 3986 §2.2"),
        ("stars in a row", "/a***b", "/ab", True, "our choice"),
        ("ends may not overlap", "/ab*ba", "/aba", False, "our choice"),
        ("a place after the first that fits", "*ab*b", "/abxb", True, "our choice"),
    ),
)
def test_pattern(pattern: str, path: str, matches: bool) -> None:
    assert Pattern(pattern).matches(path) is matches


def test_pattern_tells_its_text() -> None:
    assert repr(Pattern("img/*")) == "Pattern('img/*')"
    assert Pattern("img/*").text == "img/*"


def naive(pattern: str, path: str) -> bool:
    """All prefixes of `path` that each prefix of `pattern` takes."""
    taken = [True] + [False] * len(path)
    for char in pattern:
        if char == "*":
            taken = list(itertools.accumulate(taken, operator.or_))
        else:
            taken = [False, *(t and char in ("?", c) for t, c in zip(taken, path, strict=False))]
    return taken[-1]


@steady
@given(st.text("ab*?/.", max_size=12), st.text("ab/.", max_size=16))
def test_pattern_agrees_with_a_naive_matcher(pattern: str, rest: str) -> None:
    path = f"/{rest}"
    rooted = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
    assert Pattern(pattern).matches(path) is naive(rooted, path)


@pytest.mark.parametrize(
    "pattern",
    ["*a*a*a*a*a*b", "*a" * 10 + "b", "*?a" * 10 + "b", "/*" * 10 + "x", "*" * 255, "*" + "?a" * 127],
)
def test_a_hostile_path_costs_no_more_than_its_length(pattern: str) -> None:
    """A `.*` for each star tried every way to part 8 KiB among them: hours for these patterns."""
    path = "/" + "a" * 8191
    best = min(_seconds(pattern, path) for _ in range(3))
    assert best < 0.05


def _seconds(pattern: str, path: str) -> float:
    matches = Pattern(pattern).matches
    begun = time.perf_counter()
    matches(path)
    return time.perf_counter() - begun


@pytest.mark.parametrize(
    ("path", "prefix", "key"),
    rows(
        ("the root is no key", "/", "", b"", "S3 User Guide, Object key names"),
        ("two slashes are one key", "//", "", b"/", "S3 User Guide, Object key names"),
        ("a folder", "/a/", "", b"a/", "S3 User Guide, Object key names"),
        ("an inner run stays", "/a//b", "", b"a//b", "S3 User Guide, Object key names"),
        ("a percent sign", "/%25", "", b"%", "RFC 3986 §2.4"),
        ("decoded once", "/%2541", "", b"%41", "RFC 3986 §2.4"),
        ("a plus", "/+", "", b"+", "RFC 3986 §2.2"),
        ("a space", "/a%20b", "", b"a b", "RFC 3986 §2.1"),
        ("UTF-8", "/%C3%A9", "", "é".encode(), "RFC 3986 §2.5"),
        ("no UTF-8", "/%FF", "", b"\xff", "RFC 3986 §2.5"),
        ("an origin path", "/a", "/site", b"site/a", "CloudFront, Origin path"),
        ("an origin path at the root", "/", "/site", b"site/", "CloudFront, Origin path"),
        ("an escaped origin path", "/a", "/my%20site", b"my site/a", "CloudFront, Origin path"),
        ("an origin path beyond ASCII", "/a", "/é", "é/a".encode(), "CloudFront, Origin path"),
    ),
)
def test_object_key(path: str, prefix: str, key: bytes) -> None:
    assert object_key(path, prefix) == key


@pytest.mark.parametrize(
    ("key", "path"),
    rows(
        ("unreserved", b"aZ09-._~/x", "/aZ09-._~/x", "S3, SigV4 canonical URI"),
        ("a space is %20", b"a b", "/a%20b", "S3, SigV4 canonical URI"),
        (
            "sub-delims are escaped",
            b"!$&'()*+,;=:@",
            "/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40",
            "S3, SigV4 canonical URI",
        ),
        ("a percent sign", b"%41", "/%2541", "S3, SigV4 canonical URI"),
        ("UTF-8", "é".encode(), "/%C3%A9", "S3, SigV4 canonical URI"),
        ("any byte", b"\x00\xff", "/%00%FF", "S3, SigV4 canonical URI"),
        ("slashes stay", b"/a//b/", "//a//b/", "S3, SigV4 canonical URI"),
    ),
)
def test_key_path(key: bytes, path: str) -> None:
    assert key_path(key) == path


@steady
@given(st.binary(max_size=60))
def test_key_path_decodes_back_to_the_key(key: bytes) -> None:
    assert object_key(key_path(key)) == key
    assert set(key_path(key)) <= set(string.ascii_letters + string.digits + "-._~/%")


@pytest.mark.parametrize(
    ("path", "query", "reference"),
    rows(
        ("as it is", "/a%20b.png", "", "/a%20b.png", "RFC 3986 §4.2"),
        ("with its query", "/a", "v=1&w=//b", "/a?v=1&w=//b", "RFC 3986 §4.2"),
        ("never another host", "//evil.example/a", "", "/.//evil.example/a", "RFC 3986 §4.2"),
        ("in ASCII", "/a", "v=\u00fc", "/a?v=%C3%BC", "RFC 3986 §2"),
    ),
)
def test_same_address(path: str, query: str, reference: str) -> None:
    assert same_address(path, query) == reference


@steady
@given(st.text("/.a%2\\:@", max_size=12), st.text("a=/&?", max_size=6))
def test_same_address_is_of_the_same_host_and_object(path: str, query: str) -> None:
    try:
        path = normalise(f"/{path}")
    except RequestError:
        return
    there = urlsplit(urljoin("http://here.example/x", same_address(path, query)))
    # A client resolves dot segments (RFC 3986 §5.2.4); urllib does so only in part.
    assert (there.scheme, there.netloc, there.query) == ("http", "here.example", query)
    assert there.path in (path, f"/.{path}")


def test_a_very_long_path_is_no_harder() -> None:
    """Its length is for the server to judge."""
    path = "/" + "%41/" * 100_000
    assert normalise(path) == "/" + "A/" * 100_000
    assert collapsed("/" + "../" * 100_000) == "/"
