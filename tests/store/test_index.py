"""The index: what it finds is what a look at every key would find."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.invalidation import Invalidation, Reach, invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.store.index import Index
from tests.core.conftest import steady

keys = st.builds(
    CacheKey,
    st.sampled_from(["GET", "OPTIONS"]),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/ab", "/a%2Fb", "/a%21", "/a!"]),
    st.sampled_from(["", "w=1", "w=12"]),
    st.sampled_from([(), (("x-kind", None),)]),
)
tags = st.frozensets(st.sampled_from(["red", "blue"]))
changes = st.lists(st.tuples(keys, st.none() | tags), max_size=30)
ALL = [
    *map(
        invalidation, ["/", "/a", "/a/", "/ab", "/a?w=1", "/a?w=12", "/a?", "/x", "/x?w=1", "#red", "#green"]
    ),
    *map(invalidation, ["/*", "/a*", "/a/*", "/a?*", "/a?w=1*", "/x*"]),
    *(Invalidation(Reach.PATH, path) for path in ("/", "/a", "/x")),
    *(Invalidation(Reach.OBJECT, path) for path in ("/", "/a", "/a/b", "/a%21", "/x")),
]


@steady
@given(changes)
def test_it_finds_what_a_look_at_every_key_finds(
    changes: list[tuple[CacheKey, frozenset[str] | None]],
) -> None:
    index = Index()
    noted: dict[CacheKey, frozenset[str]] = {}
    for key, of_key in changes:
        if of_key is None:
            index.remove(key)
            noted.pop(key, None)
        else:
            index.add(key, of_key)
            noted[key] = of_key
    for one in ALL:
        found = index.covered(one)
        assert len(found) == len(set(found))
        assert set(found) == {key for key, of_key in noted.items() if one.covers(key, of_key)}, one
    for key in noted:
        index.remove(key)
    assert _is_empty(index)


def _is_empty(index: Index) -> bool:
    return not any(vars(index).values())


class _Counted(dict[Any, Any]):
    """Tags of keys, and how many keys were judged."""

    judged = 0

    def get(self, *args: Any) -> Any:
        self.judged += 1
        return super().get(*args)


@pytest.mark.parametrize(
    ("purge", "most"),
    [("/a", 1), ("/a?w=5", 1), ("/a?w=none", 0), ("#rare", 1), ("/b*", 0), ("/a?w=5*", 1_001)],
)
def test_it_judges_no_more_keys_than_it_has_to(purge: str, most: int) -> None:
    index = Index()
    index.add(CacheKey("GET", "/a"), frozenset({"rare"}))
    for number in range(1_000):
        index.add(CacheKey("GET", "/a", f"w={number}"), frozenset({"common"}))
    index._tags = counted = _Counted(index._tags)
    index.covered(invalidation(purge))
    assert counted.judged <= most
