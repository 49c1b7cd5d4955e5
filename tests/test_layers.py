"""The walls of the house: imports point down one list, the core touches nothing of the world, start-up is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "agentctl"

# A room may import itself and the rooms it names here: all of them stand further up in this list.
MAY_IMPORT = {
    "errors": set(),
    "paths": set(),
    "spec": {"errors"},
    "expressions": {"errors"},
    "model": {"expressions"},
    "language": {"errors", "paths", "spec", "model", "expressions"},
    "core": {"errors", "paths", "spec", "model", "expressions"},
    "ports": {"errors", "paths", "spec", "model", "core"},
    "performing": {"errors", "paths", "spec", "model", "expressions", "core", "ports"},
    "store": {"errors", "paths", "model", "expressions", "language", "core", "ports"},
    "actions": {"errors", "paths", "spec", "model", "expressions", "language", "core", "ports"},
    "triggers": {"errors", "paths", "spec", "model", "expressions", "language", "core", "ports"},
    "engine": {"errors", "paths", "spec", "model", "expressions", "language", "core", "ports", "triggers", "performing"},
    "engines": {"errors", "paths", "spec", "model", "expressions", "language", "core", "ports"},
    "views": {"errors", "paths", "spec", "model", "expressions", "language", "core", "ports", "triggers"},
}
# From here on a room may import every room above it.
UPPER = ["telemetry", "service", "web", "render", "testing", "wiring", "cli"]
ORDER = [*MAY_IMPORT, *UPPER]
for number, room in enumerate(UPPER):
    MAY_IMPORT[room] = set(MAY_IMPORT) | set(UPPER[:number])
MAY_IMPORT["render"] -= {"store", "actions", "engine", "engines", "service"}
MAY_IMPORT["cli"] -= {"store", "actions"}
# `testing` stands beside the product: nothing of it may be needed at run time but by the commands that offer it.
MAY_IMPORT["wiring"] -= {"testing"}

IMPURE = {
    "asyncio", "concurrent", "ctypes", "getpass", "io", "logging", "multiprocessing", "os", "pathlib", "platform",
    "queue", "random", "secrets", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib", "uuid", "httpx", "httpx2", "jinja2", "litellm", "rich", "ruamel", "sqlite_utils", "typer",
}  # fmt: skip
# `datetime` may be imported to read and write times; asking it for the present one is what the core must not do.
PRESENT = {"now", "utcnow", "today", "localtime"}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__"}

HEAVY = ("litellm", "jsonschema", "httpx", "httpx2", "jinja2", "ruamel", "sqlite_utils", "croniter", "asyncio")


def modules(room: str) -> list[Path]:
    """The files of a room, be it a folder or one file."""
    single = PACKAGE / f"{room}.py"
    return [single] if single.exists() else sorted((PACKAGE / room).rglob("*.py"))


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import of a file, those inside functions too."""
    package = ["agentctl", *file.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield node.lineno, module
            if module == "agentctl":  # rooms; what else the package names is its own
                yield from ((node.lineno, f"agentctl.{alias.name}") for alias in node.names if modules(alias.name))


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "agentctl" and len(parts) > 1 and not parts[1].startswith("__") else None


def reaches_out(function: ast.expr) -> bool:
    """Whether a call of this asks for the present time or goes past the language itself."""
    if isinstance(function, ast.Attribute):
        return function.attr in PRESENT
    return isinstance(function, ast.Name) and function.id in IMPURE_CALLS


def spot(file: Path, line: int) -> str:
    return f"{file.relative_to(PACKAGE.parent)}:{line}"


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert rooms - {"__init__", "__main__"} <= set(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_may_import_only_rooms_above_it(room: str) -> None:
    assert MAY_IMPORT[room] <= set(ORDER[: ORDER.index(room)])


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_down_the_list_only(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = [
        f"{spot(file, line)} imports {name}"
        for file in modules(room)
        for line, name in imported(file)
        if room_of(name) is not None and room_of(name) not in allowed
    ]
    assert wrong == []


def test_the_model_knows_of_expressions_the_template_alone() -> None:
    names = {name for file in modules("model") for _, name in imported(file) if name.startswith("agentctl.")}
    assert names <= {"agentctl.expressions.template"}


def test_the_core_imports_nothing_that_reaches_the_world() -> None:
    assert modules("core")
    wrong = [
        f"{spot(file, line)} imports {name}"
        for file in modules("core")
        for line, name in imported(file)
        if name.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_the_core_neither_awaits_nor_opens_nor_looks_at_a_clock() -> None:
    coloured = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    wrong = [
        spot(file, node.lineno)
        for file in modules("core")
        for node in ast.walk(tree_of(file))
        if isinstance(node, coloured) or (isinstance(node, ast.Call) and reaches_out(node.func))
    ]
    assert wrong == []


def assigns(tree: ast.Module, attribute: str) -> Iterator[int]:
    """Lines that give a value to an attribute of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.lineno


def test_only_the_transition_table_gives_a_step_its_status_and_a_run_its_phase() -> None:
    wrong = [
        f"{spot(file, line)} assigns .{attribute}"
        for room in ("core", "performing", "engine", "engines")
        for file in modules(room)
        if file != PACKAGE / "core" / "lifecycle.py"
        for attribute in ("status", "phase")
        for line in assigns(tree_of(file), attribute)
    ]
    assert wrong == []


def test_rendering_returns_and_never_prints() -> None:
    wrong = [
        spot(file, node.lineno)
        for file in modules("render")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_only_wiring_picks_a_store_and_actions() -> None:
    concrete = {"store", "actions"}
    pickers = {
        room
        for room in set(ORDER) - concrete - {"wiring", "testing"}
        for file in modules(room)
        for _, name in imported(file)
        if room_of(name) in concrete
    }
    assert pickers == set()


@pytest.mark.parametrize("name", ["agentctl.cli.app", "agentctl.core.interpreter", "agentctl.core.graph"])
def test_importing_it_pulls_in_nothing_heavy(name: str) -> None:
    code = f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = {module.split(".")[0] for module in json.loads(done.stdout)}
    assert loaded.isdisjoint(HEAVY)


def test_no_import_closes_a_circle() -> None:
    """Those inside functions and for types count, too: two files that need each other are one."""
    files = sorted(PACKAGE.rglob("*.py"))
    names = {".".join(("agentctl", *file.relative_to(PACKAGE).with_suffix("").parts)): file for file in files}
    graph = {name: {module for _, module in imported_modules(file, names) if module in names} for name, file in names.items()}
    done: set[str] = set()
    circles: list[list[str]] = []

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            circles.append(way[way.index(name) :])
        elif name not in done:
            for module in sorted(graph[name]):
                visit(module, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    assert circles == []


def imported_modules(file: Path, names: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """The files that a file imports: those named, and those that hold what is named."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                module = f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in names else node.module
                yield node.lineno, module if module in names else f"{module}.__init__"
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
