"""Ids have the form of CloudFront's, and no two are the same."""

import base64

from edgeproxy.ids import Ids


def test_ids_have_the_form_of_those_of_cloudfront() -> None:
    ids = Ids()
    made = [ids.new() for _ in range(1_000)]
    assert {len(one) for one in made} == {56}
    assert {len(base64.urlsafe_b64decode(one)) for one in made} == {40}
    assert all(one.endswith("==") for one in made)


def test_no_two_begin_alike() -> None:
    """The sample of `Server-Timing` goes by the beginning."""
    one, other = Ids(), Ids()
    made = [ids.new()[:24] for ids in (one, other) for _ in range(1_000)]
    assert len(set(made)) == 2_000
    assert len({text[:4] for text in made}) > 1_900
