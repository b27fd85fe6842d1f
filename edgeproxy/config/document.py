"""YAML text as a tree of mappings, lists and text, with variables filled in. No settings are known here."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import yaml

from edgeproxy.config.mistakes import Mistake, Place, dotted, kind_shown

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | None"

MOST_DEPTH = 30
MOST_NODES = 20_000
"""An alias counts as all that it stands for: a few lines can name billions of nodes."""

_SURROGATE = "[\ud800-\udfff]"
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
VARIABLE = re.compile(r"\$(?:\$|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?)")

# PyYAML's words that quote the file, where a secret without quotes may stand; and what helps instead.
_IN_OTHER_WORDS = (
    ("found undefined alias", 'an alias has no anchor; text that begins with "*" needs quotes'),
    (
        "could not determine a constructor",
        'a tag has no meaning here; text that begins with "!" needs quotes',
    ),
    ("found undefined tag handle", 'a tag has no meaning here; text that begins with "!" needs quotes'),
    ("second occurrence", 'an anchor stands twice; text that begins with "&" needs quotes'),
    ("expected ',' or '}', but got '{'", "expected ',' or '}'; inside {...} a ${NAME} needs quotes"),
    ("expected ',' or ']', but got '{'", "expected ',' or ']'; inside [...] a ${NAME} needs quotes"),
    ("but found another document", 'got a second document ("---"), want one'),
)


class DocumentError(Exception):
    """The text is no tree."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


def read(text: str) -> dict[str, Tree]:
    """The mapping in YAML `text`.  Raises `DocumentError`."""
    try:
        tree: Tree = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark is not None else "file"
        raise DocumentError(Mistake(where, _in_our_words(error.problem or "is not YAML"))) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        seen = f"got the character U+{ord(text[error.position]):04X}"
        raise DocumentError(Mistake(f"line {line}", seen, "printable text")) from None
    if not isinstance(tree, dict):
        raise DocumentError(Mistake("file", f"got {kind_shown(tree)}", "a mapping of settings"))
    return tree


def _in_our_words(problem: str) -> str:
    ours = next((ours for theirs, ours in _IN_OTHER_WORDS if problem.startswith(theirs)), problem)
    return ascii(ours)[1:-1] if not ours.isprintable() else ours


class _Loader(yaml.SafeLoader):
    """YAML of mappings, lists and text: `on`, `2001-01-01` and `010` are what they look like.

    Without a value means None. Anchors, aliases and merges (`<<`) work; tags do not.
    """

    # PyYAML keeps both on the class.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
        "tag:yaml.org,2002:map": lambda loader, node: loader.construct_mapping(node),
        "tag:yaml.org,2002:seq": lambda loader, node: loader.construct_sequence(node, deep=True),
        _NULL: lambda loader, node: None,
        None: yaml.SafeLoader.construct_undefined,
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, once it is known to be finite, small, and a mapping of text if it is a mapping."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # not in its stubs
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _refused(f"is nested more than {MOST_DEPTH} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise _refused("an alias stands inside what it stands for", mark)
        if node is not None and not is_alias:
            self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in _children(node))
            if self._sizes[id(node)] > MOST_NODES:
                raise _refused(f"holds more than {MOST_NODES} values", mark)
            _check(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _refused("a tag does not fit what it stands at", node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])


def _children(node: yaml.Node) -> list[yaml.Node]:
    match node:
        case yaml.MappingNode():
            return [child for pair in node.value for child in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _check(node: yaml.Node) -> None:
    """Keys are text and stand once; text can be written out again."""
    if isinstance(node, yaml.ScalarNode) and re.search(_SURROGATE, node.value):
        raise _refused("half of a surrogate pair is no character", node.start_mark)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refused("a list or a mapping cannot be a key", key.start_mark)
        if key.value in seen and key.tag != _MERGE:
            raise _refused(f"the key {dotted((key.value,))} stands twice in one mapping", key.start_mark)
        seen.add(key.value)


def _refused(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def filled(tree: dict[str, Tree], environ: Mapping[str, str]) -> tuple[dict[str, Tree], list[Mistake]]:
    """`tree` with `${NAME}` and `${NAME:-default}` replaced in its text; `$$` is a dollar sign.

    What cannot be replaced stays as it is, and is told.
    """
    mistakes: list[Mistake] = []
    return {key: _filled(value, environ, mistakes, (key,)) for key, value in tree.items()}, mistakes


def _filled(tree: Tree, environ: Mapping[str, str], mistakes: list[Mistake], place: Place) -> Tree:
    if isinstance(tree, dict):
        return {key: _filled(value, environ, mistakes, (*place, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, environ, mistakes, (*place, index)) for index, value in enumerate(tree)]
    if tree is None or "$" not in tree:
        return tree

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$$":
            return "$"
        if name is None or "${" in (default or ""):
            # Not shown: a default may be a secret.
            seen = 'got a "${" that begins no variable'
            wanted = "${NAME} or ${NAME:-default}, where the default is plain text; $$ is a dollar sign"
        elif name not in environ and default is None:
            seen, wanted = f"got ${{{name}}}", f"{name} to be set in the environment"
        elif re.search(_SURROGATE, environ.get(name, "")):
            seen, wanted = f"got ${{{name}}}", f"{name} to be UTF-8 in the environment"
        else:
            return environ.get(name, "") or default or ""
        mistakes.append(Mistake(dotted(place), seen, wanted))
        return match[0]

    return VARIABLE.sub(value, tree)
