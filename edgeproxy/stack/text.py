"""A template as text: YAML with CloudFormation's short tags, or JSON."""

import json
from typing import Any

import yaml

from edgeproxy.stack.intrinsics import Tree
from edgeproxy.stack.template import Template

_WIDTH = 110


def as_json(template: Template) -> str:
    """The tree alone, as JSON has no comments."""
    return json.dumps(template.tree, indent=2) + "\n"


def as_yaml(template: Template) -> str:
    """The tree, under comments with the notes and the commands."""
    lines = ["Made by edgeproxy template: make it again rather than change it."]
    if template.commands:
        lines += ["", "Its zips:", *(f"  {command}" for command in template.commands)]
    if template.notes:
        lines += ["", "What it has not of the configuration, or has otherwise:"]
        lines += [f"  {note}" for note in template.notes]
    head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    body = yaml.dump(template.tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return head + body


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _mapping(dumper: yaml.SafeDumper, tree: Tree) -> yaml.Node:
    match tree:
        case {"Ref": str(name), **others} if not others:
            return dumper.represent_scalar("!Ref", name)
        case {"Fn::GetAtt": [name, attribute], **others} if not others:
            return dumper.represent_scalar("!GetAtt", f"{name}.{attribute}")
        case {"Fn::Sub": str(text), **others} if not others:
            return dumper.represent_scalar("!Sub", text)
    for name in ("Select", "Split", "If", "Not", "Equals"):
        if list(tree) == [f"Fn::{name}"]:
            return dumper.represent_sequence(f"!{name}", tree[f"Fn::{name}"], flow_style=True)
    is_short = len(repr(tree)) < _WIDTH // 2 and not any(isinstance(v, dict | list) for v in tree.values())
    return dumper.represent_mapping("tag:yaml.org,2002:map", tree, flow_style=is_short)


def _sequence(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    is_plain = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=is_plain)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Templates within the template line by line, as people write them."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)
