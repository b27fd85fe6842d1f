"""CloudFormation's functions, in their long form, and ARNs made of them.

CloudFormation User Guide, "Intrinsic function reference".
"""

import re
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
"""A piece of a template: texts, numbers, booleans, lists and mappings."""


def ref(name: str) -> Tree:
    """The value of a parameter, the main id of a resource."""
    return {"Ref": name}


def att(name: str, attribute: str) -> Tree:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str) -> Tree:
    """Text in which `${Name}` stands for a value."""
    return {"Fn::Sub": text}


def literal(text: str) -> str:
    """Text that shall stand in `sub` as it is."""
    return text.replace("${", "${!")


def logical_id(name: str) -> str:
    """A name of ours as letters and digits: `my-site.eu` -> `MySiteEu`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split("[^A-Za-z0-9]+", name))


def statement(actions: list[str], resource: object, **more: object) -> Tree:
    """What a role may do."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}
