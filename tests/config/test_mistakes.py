"""How places and values are shown in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config.mistakes import ConfigError, Mistake, Place, dotted, kind_shown, shown


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), "file"),
        (("server", "listen"), "server.listen"),
        (("behaviors", 0, "path_pattern"), "behaviors[0].path_pattern"),
        (("origins", "cdn.example", "url"), 'origins."cdn.example".url'),
        (("a b", "c\n"), '"a b"."c\\n"'),
    ],
)
def test_dotted(place: Place, text: str) -> None:
    assert dotted(place) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5m", '"5m"'),
        ("", '""'),
        ("8080", "8080"),
        ("-1.5", "-1.5"),
        ("true", "true"),
        (None, "nothing"),
        (["1"], "[1]"),
        (["GET", "a b", None, []], '[GET, "a b", nothing, []]'),
        ({"token": "hunter2", "a": {"b": "c"}}, "{token: ..., a: ...}"),
        ([{"token": "hunter2"}], "[{token: ...}]"),
        ("a\nb\x1b", '"a\\nb\\u001b"'),
        ("http://u:hunter2@host/", '"http://***@host/"'),
        ("x" * 100, '"' + "x" * 76 + "..."),
        (12, "12"),
        (True, "true"),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "nothing"), ("x", "text"), (["x"], "a list"), ({"x": "y"}, "a mapping")]
)
def test_kind_shown(value: object, text: str) -> None:
    assert kind_shown(value) == text


@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_is_shown_takes_one_short_line(value: object) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 80


def test_an_error_has_a_line_for_every_mistake() -> None:
    error = ConfigError("c.yaml", [Mistake("a.b", "got 1", "2"), Mistake("c", "is missing")])
    assert str(error) == "c.yaml: a.b: got 1, want 2\nc.yaml: c: is missing"
    assert error.mistakes == (Mistake("a.b", "got 1", "2"), Mistake("c", "is missing"))
