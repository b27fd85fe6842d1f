"""What one line names: a path as in a URL, or an object's key."""

from dataclasses import dataclass
from typing import TypeAlias

from edgeproxy.core.backfilling import MAX_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Target:
    """A path as a viewer sent it, and its query less "?"."""

    path: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """The key of an object in the bucket."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Bad:
    """Nothing that could be understood; `why` says what it is and what is wanted."""

    why: str


@dataclass(frozen=True, slots=True)
class Passed:
    """It is in order, and names nothing that is to be copied: a comment, a POST, an error."""


Line: TypeAlias = Target | ObjectKey | Bad | Passed

PASSED = Passed()


def of_list(line: str) -> Line:
    """A line of a list: what begins with "/" is a path as in a URL, anything else an S3 key.

    Blank lines and those that begin with "#" are passed over. Blanks belong to a key. A key that begins
    with "/" or "#" can be named by its path: "//a", "/%23a". Bytes that are no UTF-8 are surrogates.
    """
    if line.startswith("/"):
        return target_of(line)
    if not line.strip() or line.startswith("#"):
        return PASSED
    try:
        key = line.encode()
    except UnicodeEncodeError:
        return Bad(f"got {shown(line)}, want a key in UTF-8")
    if len(key) > MAX_KEY_BYTES:
        return Bad(f"got {len(key)} bytes, want a key of at most {MAX_KEY_BYTES}")
    return ObjectKey(key)


def target_of(text: str) -> Target:
    """A request target in origin form as its two parts.  RFC 9112 §3.2.1."""
    path, _, query = text.partition("?")
    return Target(path, query)


def shown(text: str) -> str:
    """The beginning of `text`, as it can be printed."""
    return ascii(text if len(text) <= 60 else f"{text[:60]}...")
