"""What several workers know of a node, as one."""

from typing import Any

import pytest

from edgeproxy.workers.pooling import merged_node, merged_pools


def node(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "why": None, "duty": "ready", "in_flight": 1, "p99_ms": None, "rank": 1, **fields}


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        ([node(), node()], {"in_flight": 2, "p99_ms": None, "why": None}),
        ([node(p99_ms=3.0), node()], {"p99_ms": 3.0}),
        ([node(p99_ms=3.0), node(p99_ms=5.0, rank=2)], {"p99_ms": 5.0, "rank": 2}),
        ([node(), node(why="node-ejected", rank=None)], {"why": "node-ejected at 1 of 2 workers", "rank": 1}),
        ([node(why="node-cordoned", duty="cordoned")] * 2, {"why": "node-cordoned", "duty": "cordoned"}),
    ],
)
def test_a_node_is_told_once(nodes: list[dict[str, Any]], wanted: dict[str, Any]) -> None:
    told = merged_node(nodes)
    assert {name: told[name] for name in wanted} == wanted


def test_pools_are_told_once_each() -> None:
    pool = {"name": "api", "algorithm": "dns", "nodes": [node(), node(name="b")]}
    (told,) = merged_pools([[pool], [pool]])
    assert [(one["name"], one["in_flight"]) for one in told["nodes"]] == [("a", 2), ("b", 2)]
    assert merged_pools([[], []]) == []


def test_nodes_are_paired_by_name() -> None:
    """One worker has heard of other nodes already."""
    before = {"name": "api", "nodes": [node(), node(name="b", in_flight=3)]}
    after = {"name": "api", "nodes": [node(name="c"), node(name="b", why="node-down"), node()]}
    other = {"name": "other", "nodes": [node()]}
    api, alone = merged_pools([[before, other], [after, other]])
    assert [(one["name"], one["in_flight"], one["why"]) for one in api["nodes"]] == [
        ("a", 2, None),
        ("b", 4, "node-down at 1 of 2 workers"),
        ("c", 1, None),
    ]
    assert [one["in_flight"] for one in alone["nodes"]] == [2]
