"""What the schema's own source says of each setting. Read where it is to be shown: it takes a while."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

from edgeproxy.config.section import Section


@cache
def abouts(shape: type[BaseModel]) -> dict[str, str]:
    """The docstring under each setting of `shape` that has one, also those it shares, by its name."""
    found: dict[str, str] = {}
    for section in reversed(shape.__mro__):
        if not issubclass(section, Section):
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(section))).body
        assert isinstance(definition, ast.ClassDef)
        for setting, below in pairwise(definition.body):
            match setting, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = inspect.cleandoc(text)
    return found
