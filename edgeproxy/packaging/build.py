"""From a function to its zip file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from edgeproxy.packaging.archive import Archive, archived
from edgeproxy.packaging.closure import ROOT, needed, pins
from edgeproxy.packaging.errors import PackageError
from edgeproxy.packaging.functions import Function
from edgeproxy.packaging.platform import Architecture, Platform
from edgeproxy.packaging.wheels import unpack, wheels

SETTINGS = "edgeproxy.json"
"""The file with settings at the top of a zip, for functions that may have no environment variables."""
MAX_ZIP_BYTES = 50 * 10**6
"""Lambda's limit for what is uploaded directly, and CloudFront's for functions on origin events."""
MAX_UNPACKED_BYTES = 250 * 10**6

_ALWAYS_NEEDED = frozenset({"sts"})
"""Services that credentials come from."""
_UNUSED = ("/__pycache__/", "/tests/", "/examples-1.json")


def built(
    function: Function,
    platform: Platform,
    folder: Path,
    cache: Path,
    settings: Mapping[str, str],
    say: Callable[[str], None],
) -> Archive:
    """The zip file of `function` in `folder`, with `settings` in it; wheels are kept in `cache`.

    Raises `PackageError`.
    """
    if function.is_edge and platform.architecture is not Architecture.X86_64:
        raise PackageError(
            f"{function.name}: got {platform.architecture}, want x86_64, which is all CloudFront has"
        )
    code = needed(function.module)
    files = {path.as_posix(): (ROOT.parent / path).read_bytes() for path in code.files}
    for wheel in wheels(pins(code.libraries, platform), platform, cache, say):
        files |= unpack(wheel)
    files = {name: body for name, body in files.items() if _is_used(name, function.services | _ALWAYS_NEEDED)}
    if settings:
        files[SETTINGS] = json.dumps(dict(sorted(settings.items())), indent=2).encode() + b"\n"
    path = folder / f"{function.name}.zip"
    try:
        archive = archived(files, path)
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror}") from error
    for size, limit, what in (
        (archive.size, MAX_ZIP_BYTES, "zipped"),
        (archive.unpacked, MAX_UNPACKED_BYTES, "unpacked"),
    ):
        if size > limit:
            raise PackageError(f"{function.name}: got {size} bytes {what}, want at most {limit}")
    return archive


def _is_used(name: str, services: frozenset[str]) -> bool:
    """Of botocore's descriptions of all of AWS only those of `services` are: they are most of its size."""
    if any(part in f"/{name}" for part in _UNUSED) or name.endswith((".pyi", ".pyx", ".pxd", ".c", ".h")):
        return False
    folder, _, rest = name.partition("botocore/data/")
    if folder or not rest or "/" not in rest:
        return True
    return rest.partition("/")[0] in services
