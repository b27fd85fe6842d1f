"""pydantic's findings in our words. It finds; what is said of it is said here."""

import difflib
import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgeproxy.config.mistakes import Mistake, Place, dotted, kind_shown, shown
from edgeproxy.config.schema import SHAPES, Config
from edgeproxy.config.section import Section

# A value that is wrong may still be the secret, and what stands in the place of a section may hold one.
_SECRETS = frozenset({"credentials", "custom_headers", "redis_url", "set_headers", "token"})
_KEY = "[key]"
"""Ends pydantic's place of a key, as opposed to the value behind it."""


def mistakes_in(error: ValidationError) -> Iterator[Mistake]:
    """Each finding once, in the order of the schema."""
    findings = error.errors(include_url=False)
    within = {loc[:end] for loc in (finding["loc"] for finding in findings) for end in range(len(loc))}
    for finding in findings:
        # Not a finding: a default that follows another setting was not worked out, as something is wrong.
        if finding["type"] == "default_factory_not_called":
            continue
        # Nor that a list is short of the values in it that are wrong.
        if finding["type"] == "too_short" and finding["loc"] in within:
            continue
        yield _mistake(finding)


def _mistake(finding: ErrorDetails) -> Mistake:
    loc = finding["loc"]
    place = tuple(part for part in loc if part not in SHAPES and part != _KEY)
    value, context = finding["input"], finding.get("ctx", {})
    seen = "got ***" if _SECRETS & set(place) else f"got {shown(value)}"
    if loc[-1:] == (_KEY,):
        return Mistake(dotted(place[:-1]), f"got the name {shown(value)}", str(context["error"]))
    match finding["type"]:
        case "missing":
            return Mistake(dotted(place), "is missing")
        case "extra_forbidden":
            return Mistake(dotted(place), "is not a setting", _nearest(loc))
        case "value_error":
            return Mistake(dotted(place), seen, str(context["error"]))
        case "setting":
            name = context["setting"]
            return Mistake(dotted((*place, name)), f"got {shown(value[name])}", context["wanted"])
        case "shape":
            return Mistake(dotted(place), seen, finding["msg"])
        case "type_of_origin" if isinstance(value, dict):
            kind = value.get("type")
            return Mistake(
                dotted((*place, "type")),
                f"got {shown(kind)}" if "type" in value else "is missing",
                finding["msg"],
            )
        case "model_type" | "dict_type" | "type_of_origin":
            return Mistake(dotted(place), f"got {kind_shown(value)}", "a mapping")
        case "tuple_type" | "frozen_set_type":
            return Mistake(dotted(place), seen, "a list")
        case "literal_error":
            words = re.findall("'([^']*)'", context["expected"])
            return Mistake(dotted(place), seen, f"one of {', '.join(words)}")
        case "too_short":
            return Mistake(
                dotted(place), f"got {context['actual_length']} of them", f"at least {context['min_length']}"
            )
        case "too_long":
            return Mistake(
                dotted(place), f"got {context['actual_length']} of them", f"at most {context['max_length']}"
            )
    # A rule that the schema has and this table has not: better pydantic's words than none.
    return Mistake(dotted(place), seen, finding["msg"])


def _nearest(loc: Place) -> str:
    """The setting that was meant, if one looks like it, else all that could stand there."""
    section = _section_at(loc[:-1])
    names = sorted(section.model_fields) if section is not None else []
    near = difflib.get_close_matches(str(loc[-1]), names, n=1)
    return f'"{near[0]}"' if near else f"one of {', '.join(names)}" if names else ""


def _section_at(loc: Place) -> type[Section] | None:
    """The section at pydantic's place `loc`, which has the shape taken wherever there are several."""
    here: Any = Config
    for part in loc:
        if part in SHAPES:
            here = SHAPES[str(part)]
        elif (section := _section(here)) is not None:
            here = section.model_fields[str(part)].annotation
        elif get_origin(here) in (dict, tuple):
            arguments = get_args(here)
            here = arguments[1] if get_origin(here) is dict else arguments[0]
        else:
            return None
    return _section(here)


def _section(annotation: Any) -> type[Section] | None:
    """The section that may stand at a setting, alone or as what is optional."""
    arms = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    return next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, Section)), None)
