"""YAML text as a tree of text, and variables in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config.document import DocumentError, filled, read
from edgeproxy.config.mistakes import Mistake

TAG = 'line 1: a tag has no meaning here; text that begins with "!" needs quotes'
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a: b", {"a": "b"}),
        ("a: 010\nb: 1_000\nc: 1e3\nd: 0x10", {"a": "010", "b": "1_000", "c": "1e3", "d": "0x10"}),
        ("a: yes\nno: on", {"a": "yes", "no": "on"}),
        ("a: 2001-01-01\nb: 12:30:45", {"a": "2001-01-01", "b": "12:30:45"}),
        ("a: .nan\nb: -.inf", {"a": ".nan", "b": "-.inf"}),
        ("a:\nb: ~\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
        ("1: a\ntrue: b\n~: c", {"1": "a", "true": "b", "~": "c"}),
        ("a: [b, {c: d}]", {"a": ["b", {"c": "d"}]}),
        ("a: &x {b: c}\nd: *x", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("a: &x {b: c, d: e}\nf: {<<: *x, d: g}", {"a": {"b": "c", "d": "e"}, "f": {"b": "c", "d": "g"}}),
        ("a: &x {b: c}\nd: {<<: [*x, {e: f}]}", {"a": {"b": "c"}, "d": {"e": "f", "b": "c"}}),
        ("a: &x {b: c}\n<<: *x\nd: {<<: *x, b: e}", {"a": {"b": "c"}, "b": "c", "d": {"b": "e"}}),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
        ("\ufeffa: b", {"a": "b"}),
        ("'<<': a", {"<<": "a"}),
    ],
)  # fmt: skip
def test_all_scalars_are_text(text: str, tree: Any) -> None:
    assert read(text) == tree


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "file: got nothing, want a mapping of settings"),
        ("# nothing", "file: got nothing, want a mapping of settings"),
        ("a", "file: got text, want a mapping of settings"),
        ("- a", "file: got a list, want a mapping of settings"),
        ("a: b\n\tc: d", "line 2: found character '\\t' that cannot start any token"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("a: [b", "line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: b\na: c", "line 2: the key a stands twice in one mapping"),
        ('a b: c\n"a b": c', 'line 2: the key "a b" stands twice in one mapping'),
        ("? [a]\n: b", "line 1: a list or a mapping cannot be a key"),
        ("a: *hunter2", 'line 1: an alias has no anchor; text that begins with "*" needs quotes'),
        ("a: &b c\nd: &b e", 'line 2: an anchor stands twice; text that begins with "&" needs quotes'),
        ("a: !hunter2 b", TAG),
        ("a: !h!unter2 b", TAG),
        ("a: !!binary aGk=", TAG),
        ("a: !!python/name:os.system x", TAG),
        ("a: !!map b", "line 1: a tag does not fit what it stands at"),
        ("a: !!set {b}", TAG),
        ("a: &a [*a]", "line 1: an alias stands inside what it stands for"),
        ("a: {<<: b}", "line 1: expected a mapping or list of mappings for merging, but found scalar"),
        ("a: &a\n  b: {<<: *a}", "line 2: an alias stands inside what it stands for"),
        (LAUGHS, "line 5: holds more than 20000 values"),
        ("a: " + "[" * 10_000, "line 1: is nested more than 30 deep"),
        ("{a: " * 10_000, "line 1: is nested more than 30 deep"),
        ("- " * 10_000 + "a", "line 1: is nested more than 30 deep"),
        ("a: b\nc: \x00", "line 2: got the character U+0000, want printable text"),
        ("a: \ud800", "line 1: got the character U+D800, want printable text"),
        ('a: "\\ud800"', "line 1: half of a surrogate pair is no character"),
        ("a: b\n---\nc: d", 'line 2: got a second document ("---"), want one'),
        ("a: {b: ${C}}", "line 1: expected ',' or '}'; inside {...} a ${NAME} needs quotes"),
        ("a: [${C}]", "line 1: expected ',' or ']'; inside [...] a ${NAME} needs quotes"),
        ("%YAML 9.9\n---\na: b", "line 1: found incompatible YAML document (version 1.* is required)"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_tree(text: str, line: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert str(caught.value) == line


@given(st.text() | st.text(alphabet="ab \n\t:-?[]{},&*!|>'\"%@`#<~$0\x85\ufeff\\x"))
def test_any_text_is_a_tree_or_an_error_in_one_line(text: str) -> None:
    told = ""
    try:
        assert isinstance(read(text), dict)
    except DocumentError as error:
        told = str(error)
    assert told.isprintable()


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A}", {"A": ""}, ""),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-}", {}, ""),
        ("${A:-http://b:1/-c}", {}, "http://b:1/-c"),
        ("a${A}b${B:-c}d", {"A": "x"}, "axbcd"),
        ("$$", {}, "$"),
        ("$${A}", {}, "${A}"),
        ("$$${A}", {"A": "x"}, "$x"),
        ("$", {}, "$"),
        ("$A", {"A": "x"}, "$A"),
        ("a$", {}, "a$"),
        ("${A}", {"A": "${B} $$"}, "${B} $$"),
    ],
)
def test_variables(text: str, environ: dict[str, str], value: str) -> None:
    assert filled({"k": [text, {"l": text}]}, environ) == ({"k": [value, {"l": value}]}, [])


NO_VARIABLE = Mistake(
    "k[0]",
    'got a "${" that begins no variable',
    "${NAME} or ${NAME:-default}, where the default is plain text; $$ is a dollar sign",
)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("${A}", Mistake("k[0]", "got ${A}", "A to be set in the environment")),
        ("${BAD}", Mistake("k[0]", "got ${BAD}", "BAD to be UTF-8 in the environment")),
        ("${A-hunter2}", NO_VARIABLE),
        ("${A:?hunter2}", NO_VARIABLE),
        ("${1A}", NO_VARIABLE),
        ("${}", NO_VARIABLE),
        ("${A", NO_VARIABLE),
        ("${A:-${B}}", NO_VARIABLE),
    ],
)
def test_what_cannot_be_filled_stays_and_is_told(text: str, mistake: Mistake) -> None:
    tree, mistakes = filled({"k": [text]}, {"BAD": "\udcff"})
    assert mistakes == [mistake]
    assert tree["k"][0].startswith("${")  # type: ignore[index,union-attr]


def test_keys_are_left_alone() -> None:
    assert filled({"${A}": "b"}, {"A": "x"}) == ({"${A}": "b"}, [])
