"""What the tests of the rules share: rows of a table, and how Hypothesis looks."""

from typing import Any

import pytest
from hypothesis import settings

steady = settings(deadline=None, max_examples=100, derandomize=True, database=None)
"""The same examples in every run, however slow the machine is."""


def rows(*table: tuple[Any, ...]) -> list[Any]:
    """Rows for `parametrize`: the first cell says what the row shows, the last where the rule stands."""
    return [
        pytest.param(*cells, id=f"{name} ({source.replace('§', 'section ')})")
        for name, *cells, source in table
    ]
