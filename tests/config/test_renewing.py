"""What can change while requests are served, and what needs a restart."""

import pytest

from edgeproxy.config import parse
from edgeproxy.config.renewing import needs_restart, pools_in_both, renewed

OLD = """
origins:
  api: {type: pool, nodes: [{url: "http://a"}]}
  site: {type: http, url: "http://s"}
default_behavior: {target_origin: api}
"""


@pytest.mark.parametrize(
    ("before", "after", "changed", "restart"),
    [
        ("http://a", "http://a", False, False),
        ("http://a", "http://b", True, False),
        ("nodes:", "hedge: true, nodes:", True, False),
        ("http://s", "http://t", False, True),
        ("target_origin: api", "target_origin: site", False, True),
        ("origins:", "origins:\n  more: {type: pool, nodes: [{url: 'http://c'}]}", False, True),
        ("type: http, url: 'http://s'", "type: pool, nodes: [{url: 'http://s'}]", False, True),
    ],
)
def test_renewed(before: str, after: str, changed: bool, restart: bool) -> None:
    text = OLD.replace('"', "'")
    assert before in text
    old, new = parse(text, {}), parse(text.replace(before, after), {})
    assert pools_in_both(old, new) == ["api"]
    assert (renewed(old, new).origins["api"] != old.origins["api"]) is changed
    assert renewed(old, new).origins["site"] == old.origins["site"]
    assert needs_restart(old, new) is restart
