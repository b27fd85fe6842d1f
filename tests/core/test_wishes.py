"""What viewers ask of a cache."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.directives import MAX_SECONDS
from edgeproxy.core.message import Headers
from edgeproxy.core.wishes import NONE, Wishes, wishes
from tests.core.conftest import rows, steady


@pytest.mark.parametrize(
    ("value", "expected"),
    rows(
        ("absent", None, NONE, "RFC 9111 §5.2.1"),
        ("empty", "", NONE, "RFC 9111 §5.2"),
        ("max-age", "max-age=60", Wishes(max_age=60), "RFC 9111 §5.2.1.1"),
        ("max-stale", "max-stale=60", Wishes(max_stale=60), "RFC 9111 §5.2.1.2"),
        ("max-stale of any age", "max-stale", Wishes(max_stale=MAX_SECONDS), "RFC 9111 §5.2.1.2"),
        ("min-fresh", "min-fresh=60", Wishes(min_fresh=60), "RFC 9111 §5.2.1.3"),
        ("no-cache", "no-cache", Wishes(no_cache=True), "RFC 9111 §5.2.1.4"),
        ("no-store", "no-store", Wishes(no_store=True), "RFC 9111 §5.2.1.5"),
        ("no-transform", "no-transform", NONE, "RFC 9111 §5.2.1.6"),
        ("only-if-cached", "only-if-cached", Wishes(only_if_cached=True), "RFC 9111 §5.2.1.7"),
        ("stale-if-error", "stale-if-error=60", Wishes(stale_if_error=60), "RFC 5861 §4"),
        ("directives of responses", "private, s-maxage=5, must-revalidate", NONE, "RFC 9111 §5.2.1"),
        (
            "several, in any case",
            'Max-Age="0" , NO-CACHE',
            Wishes(max_age=0, no_cache=True),
            "RFC 9111 §5.2",
        ),
        ("a needless argument", 'no-cache="x"', Wishes(no_cache=True), "RFC 9111 §5.2"),
        ("max-age of no number", "max-age=x", Wishes(max_age=0), "the stricter reading"),
        ("max-age without one", "max-age", Wishes(max_age=0), "the stricter reading"),
        ("max-stale of no number", "max-stale=x", Wishes(max_stale=0), "the stricter reading"),
        ("min-fresh of no number", "min-fresh=x", Wishes(min_fresh=MAX_SECONDS), "the stricter reading"),
        ("min-fresh without one", "min-fresh", Wishes(min_fresh=MAX_SECONDS), "the stricter reading"),
        ("max-age twice", "max-age=60, max-age=5", Wishes(max_age=5), "the stricter reading"),
        ("max-stale twice", "max-stale, max-stale=5", Wishes(max_stale=5), "the stricter reading"),
        ("min-fresh twice", "min-fresh=60, min-fresh=5", Wishes(min_fresh=60), "the stricter reading"),
        ("a number too large", "max-age=" + "9" * 5000, Wishes(max_age=MAX_SECONDS), "RFC 9111 §1.2.2"),
    ),
)
def test_wishes(value: str | None, expected: Wishes) -> None:
    assert wishes(Headers([("Cache-Control", value)] if value is not None else [])) == expected


@pytest.mark.parametrize(
    ("pragma", "control", "expected"),
    rows(
        ("alone", "no-cache", None, Wishes(no_cache=True), "RFC 9111 §5.4"),
        ("among others", "x=1, No-Cache", None, Wishes(no_cache=True), "RFC 9111 §5.4"),
        ("another", "no-cache2", None, NONE, "RFC 9111 §5.4"),
        ("beside Cache-Control", "no-cache", "max-stale=5", Wishes(max_stale=5), "RFC 9111 §5.4"),
        ("beside an empty one", "no-cache", "", NONE, "RFC 9111 §5.4"),
    ),
)
def test_pragma(pragma: str, control: str | None, expected: Wishes) -> None:
    fields = [("Pragma", pragma), *([("Cache-Control", control)] if control is not None else [])]
    assert wishes(Headers(fields)) == expected


TEXT = st.text('nocahe-mxfrst=1,; "\\', max_size=40) | st.text(max_size=40)


@steady
@given(TEXT)
def test_nothing_raises_and_every_number_is_within_bounds(value: str) -> None:
    asked = wishes(Headers([("Cache-Control", value), ("Pragma", value)]))
    for seconds in (asked.max_age, asked.min_fresh, asked.max_stale, asked.stale_if_error):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS


@steady
@given(TEXT, st.floats(0, 1e9), st.floats(-1e9, 1e9))
def test_to_say_more_never_makes_a_viewer_take_what_it_refused(
    other: str, age_s: float, fresh_for_s: float
) -> None:
    refused = wishes(Headers([("Cache-Control", "max-age=60, min-fresh=60")])).refuse(age_s, fresh_for_s)
    more = wishes(Headers([("Cache-Control", f"max-age=60, min-fresh=60, {other}")]))
    assert more.refuse(age_s, fresh_for_s) or not refused
