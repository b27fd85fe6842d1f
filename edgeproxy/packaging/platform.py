"""Where a function is to run.  Lambda Developer Guide, "Lambda runtimes"; PEP 425, PEP 600."""

from dataclasses import dataclass
from enum import StrEnum

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags


class Architecture(StrEnum):
    """As Lambda calls it."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that Lambda has."""
_MACHINE = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}
# Amazon Linux 2 has glibc 2.26 (3.11), Amazon Linux 2023 has 2.34.
_GLIBC_MINOR = {"3.11": 26}


@dataclass(frozen=True, slots=True)
class Platform:
    """A version of Python on an architecture."""

    python: str
    architecture: Architecture

    @property
    def tags(self) -> frozenset[Tag]:
        """What a wheel may be made for to run there."""
        machine = _MACHINE[self.architecture]
        newest = _GLIBC_MINOR.get(self.python, 34)
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
        platforms += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
        version = tuple(map(int, self.python.split(".")))
        tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)]
        return frozenset(tags)

    @property
    def pip_platforms(self) -> tuple[str, ...]:
        """Names for pip. One alone misses the wheels that have only the other."""
        machine = _MACHINE[self.architecture]
        newest = _GLIBC_MINOR.get(self.python, 34)
        return (f"manylinux_2_{min(newest, 28)}_{machine}", f"manylinux2014_{machine}")

    def wants(self, marker: Marker | None) -> bool:
        """Whether a requirement with this marker is one there."""
        environment = {
            "python_version": self.python,
            # Lambda has the newest of its line.
            "python_full_version": f"{self.python}.99",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": _MACHINE[self.architecture],
            "extra": "",
        }
        return marker is None or marker.evaluate(environment)

    def __str__(self) -> str:
        return f"python{self.python}-{self.architecture}"
