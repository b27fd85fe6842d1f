"""What the tests of the rules share: rows of a table, and how hard Hypothesis looks."""

from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("rules", deadline=None, max_examples=100, derandomize=True, database=None)
settings.load_profile("rules")


def rows(*table: tuple[Any, ...]) -> list[Any]:
    """Rows for `parametrize`: the first cell says what the row shows, the last where the rule stands."""
    return [
        pytest.param(*cells, id=f"{name} ({source.replace('§', 'section ')})")
        for name, *cells, source in table
    ]
