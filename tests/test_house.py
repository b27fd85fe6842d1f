"""The rules of the house: who may import whom, what `core` may know, one Reason for every "no"."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgeproxy"

# Floors from the ground up: a room may import from its own floor's folder and from what stands below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("__init__",),
    ("core",),
    ("aws", "clock", "ids"),
    ("config",),
    ("origins", "record"),
    ("store",),
    ("backfill", "health"),
    ("assembly", "gateway", "log", "reloading"),
    ("lambdas", "lane"),
    ("explain",),
    ("app",),
    ("admin", "server"),
    ("bulk", "serve"),
    ("filling", "lab", "packaging", "workers"),
    ("stack",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# What `core` may take from the standard library: nothing that reads a clock, the environment or a socket.
PURE = frozenset(
    {
        "base64",
        "bisect",
        "collections",
        "dataclasses",
        "email",
        "enum",
        "functools",
        "hashlib",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "re",
        "types",
        "typing",
        "urllib",
        "xml",
    }
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            if node.module.split(".")[0] == "edgeproxy":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def own_room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_below_it(path: Path) -> None:
    room = own_room(path)
    for module in imports(path):
        if module.split(".")[0] == "edgeproxy" and room_of(module) != room:
            assert FLOOR[room_of(module)] < FLOOR[room], f"{room} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda p: p.stem)
def test_core_is_pure(path: Path) -> None:
    foreign = {m.split(".")[0] for m in imports(path)} - {"edgeproxy"}
    assert foreign <= PURE
    assert foreign <= set(sys.stdlib_module_names)
    assert "async def" not in path.read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "balancing").glob("*.py")), ids=lambda p: p.stem)
def test_the_simulation_knows_the_rules_and_no_clock(path: Path) -> None:
    ours = {m for m in imports(path) if m.split(".")[0] == "edgeproxy"}
    assert all(module.startswith(("edgeproxy.core.balancing", "edgeproxy.core.reason")) for module in ours)
    foreign = {m.split(".")[0] for m in imports(path)} - {"edgeproxy", "bench"}
    apart = {"argparse", "concurrent", "pathlib"} if path.stem == "__main__" else set()
    assert foreign <= PURE | {"heapq", "html", "random"} | apart


def test_the_product_does_not_import_what_measures_it() -> None:
    assert not {m for path in modules() for m in imports(path) if m.split(".")[0] in {"bench", "tests"}}


def test_no_module_imports_itself_by_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    names = {".".join(("edgeproxy", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in modules()}
    for path in modules():
        name = ".".join(("edgeproxy", *path.relative_to(PACKAGE).with_suffix("").parts))
        graph[name] = {module for module in imports(path) if module in names}
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for module in graph[name]:
                walk(module, (*above, name))
            done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("room", ["core", "core/balancing", "config"])
def test_tests_mirror_what_they_test(room: str) -> None:
    modules_of = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert tested <= modules_of


def test_every_reason_is_a_token_and_is_used() -> None:
    from edgeproxy.core.reason import Reason

    source = "\n".join(path.read_text() for path in modules() if path.name != "reason.py")
    for reason in Reason:
        assert re.fullmatch(r"[a-z0-9-]+", reason)
        assert f"Reason.{reason.name}" in source, f"nobody says {reason.name}"


def test_two_files_read_the_environment() -> None:
    readers = {
        path.relative_to(PACKAGE)
        for path in modules()
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    assert readers == {Path("config/load.py"), Path("lambdas/settings.py")}


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for path in modules():
        tree = ast.parse(path.read_text())
        if ast.get_docstring(tree) is None:
            silent.append(str(path))
        for node in tree.body:
            if isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    silent.append(f"{path}: {node.name}")
    assert silent == []
