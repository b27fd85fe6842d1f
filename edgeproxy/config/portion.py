"""What of a configuration those need who only balance: pools, and the behaviours that lead there.

What is left out can neither be missing where it is used, nor be a secret in the wrong place.
"""

import json
import re
from collections.abc import Iterator

from edgeproxy.config.document import VARIABLE, Tree, read

_SECTIONS = (
    "origins",
    "origin_groups",
    "cache_policies",
    "origin_request_policies",
    "response_headers_policies",
    "behaviors",
    "default_behavior",
    "health",
)
_OF_THE_SERVER = ("default_root_object", "ambiguous_paths", "debug_headers")
_ELSEWHERE: dict[str, Tree] = {
    "s3": {"type": "s3", "bucket": "elsewhere"},
    "http": {"type": "http", "url": "http://elsewhere.invalid"},
}
"""What stands for origins that are not asked."""


def for_balancing(text: str) -> str:
    """A configuration in YAML `text` as one that balances and no more; variables in it stay as they are.

    Raises `DocumentError`.
    """
    tree = read(text)
    kept: dict[str, Tree] = {name: tree[name] for name in _SECTIONS if name in tree}
    origins = kept.get("origins")
    if isinstance(origins, dict):
        kept["origins"] = {name: _origin(origin) for name, origin in origins.items()}
    server = tree.get("server")
    if isinstance(server, dict) and (told := {n: server[n] for n in _OF_THE_SERVER if n in server}):
        kept["server"] = told
    # JSON is YAML too, and one line.
    return json.dumps(kept, ensure_ascii=False)


def _origin(origin: Tree) -> Tree:
    kind = origin.get("type") if isinstance(origin, dict) else None
    return _ELSEWHERE.get(kind, origin) if isinstance(kind, str) else origin


def variables(text: str) -> dict[str, bool]:
    """The names of the variables that `text` speaks of, and whether each can be done without."""
    found: dict[str, bool] = {}
    for name, has_default in _spoken_of(text):
        found[name] = found.get(name, True) and has_default
    return found


def _spoken_of(text: str) -> Iterator[tuple[str, bool]]:
    for match in re.finditer(VARIABLE, text):
        if match[1] is not None:
            yield match[1], match[2] is not None
