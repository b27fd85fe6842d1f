"""What a module needs: modules of ours, and libraries, at the versions that are installed here."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgeproxy.packaging.errors import PackageError
from edgeproxy.packaging.platform import Platform

ROOT = Path(__file__).parents[1]
"""The folder of our own package."""
_OURS = ROOT.name


@dataclass(frozen=True, slots=True)
class Needed:
    """`files` of ours, relative to the folder that holds our package, and the libraries that they import."""

    files: tuple[Path, ...]
    libraries: frozenset[str]


def needed(module: str) -> Needed:
    """All that `module`, such as "edgeproxy.lambdas.mirror_url", imports, and what that imports in turn."""
    files: set[Path] = set()
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        path = _file(waiting.pop())
        if path is None or path in files:
            continue
        files.add(path)
        for name in _imports(path):
            if name.partition(".")[0] == _OURS:
                waiting.append(name)
            else:
                libraries.add(name.partition(".")[0])
    known = metadata.packages_distributions()
    packages = {above / "__init__.py" for path in files for above in path.parents if _is_in_package(above)}
    found = frozenset(canonicalize_name(known[name][0]) for name in libraries if name in known)
    return Needed(tuple(sorted(path.relative_to(ROOT.parent) for path in files | packages)), found)


@dataclass(frozen=True, slots=True)
class Pin:
    """A library at one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def pins(libraries: Iterable[str], platform: Platform) -> tuple[Pin, ...]:
    """These libraries and all that they require on `platform`, at the versions that are installed here.

    Raises `PackageError`.
    """
    found: dict[str, Pin] = {}
    waiting = sorted(libraries)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise PackageError(f"{name}: is not installed here, and so there is no version to pack") from None
        found[name] = Pin(name, installed.version)
        requirements = map(Requirement, installed.requires or ())
        waiting += [one.name for one in requirements if platform.wants(one.marker)]
    return tuple(found[name] for name in sorted(found))


def _file(module: str) -> Path | None:
    path = ROOT.parent.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    # A name from a module rather than one.
    return None


def _is_in_package(folder: Path) -> bool:
    return folder == ROOT or ROOT in folder.parents


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
