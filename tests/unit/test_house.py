"""The house rules that a machine can hold: layers, no cycles, small modules, one door to programs, clean types."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapmirror import process

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "snapmirror"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400
LATE = 68  # fewer is better
THREAD_MODULES = {"concurrent.futures", "_thread", "asyncio"}
THREAD_CLASSES = {"threading.Thread", "threading.Timer"}
# Programs of the appliance, which are no package.
APPLIANCE = sorted(str(path) for path in (ROOT / "vm").rglob("*.py"))

GROUND = (
    "check",
    "config",
    "confinement",
    "errors",
    "files",
    "folder",
    "interrupts",
    "process",
    "pipeline",
    "lockfile",
    "machine",
    "model",
    "state_folder",
    "pages",
    "schedule",
    "span",
    "text",
    "threads",
    "worker",
    "environment",
)
# Where a module may look: its own layer and those after it. The reason stands in the message of a broken rule.
LAYERS = (
    "cli",
    "views",
    "doctor",
    "night",
    "windows",
    "history",
    "state",
    "sources",
    "snapshots",
    "storage",
    "tools",
    "ground",
)
REASONS = {
    "cli": "the command line is the only place that prints and that turns errors into exit codes",
    "views": "what is done must not depend on how it is shown",
    "doctor": "what is examined must not know who looks at it",
    "night": "what a night is must not be known to what it is made of",
    "windows": "the host is told of runs, and does not run them",
    "history": "reading history must not depend on how the next one is made known",
    "state": "what is kept between runs must not depend on who asks for it",
    "sources": "where a tree comes from must not depend on what becomes of it",
    "snapshots": "history must not depend on how a night runs",
    "storage": "where the store is kept must not depend on what is in it",
    "tools": "an adapter of a program knows argv and results, not what they are for",
    "ground": "the ground knows nothing of what stands on it",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str | None:
    """None for the package itself, which only holds the version."""
    parts = module.split(".")
    if len(parts) == 1:
        return None
    if parts[1] == "__main__":
        return "cli"
    return "ground" if parts[1] in GROUND else parts[1]


def imports_of(path: Path, *, at_run_time: bool = False) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, with the line; `at_run_time` leaves out `if TYPE_CHECKING` and functions."""
    module = name_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _statements(ast.parse(path.read_bytes()), at_run_time):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [base])]
                )
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if inner in NAMES else base), node.lineno


def _statements(node: ast.AST, at_run_time: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if at_run_time:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
        yield child
        yield from _statements(child, at_run_time)


NAMES = {name_of(path) for path in MODULES}


def test_every_module_has_a_layer() -> None:
    unknown = {name for name in NAMES if layer_of(name) not in (None, *LAYERS)}
    assert not unknown, f"no layer for {sorted(unknown)}; name it in GROUND or LAYERS of this test"


def test_imports_only_point_downwards() -> None:
    broken = []
    for path in MODULES:
        here = layer_of(name_of(path))
        if here is None:
            continue
        for target, line in imports_of(path):
            there = layer_of(target) if target.split(".")[0] == "snapmirror" else None
            if there is not None and LAYERS.index(there) < LAYERS.index(here):
                broken.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {target}; {REASONS[there]}")
    assert not broken, "\n".join(broken)


def test_tools_take_plain_values() -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line}: imports {target}"
        for path in MODULES
        if layer_of(name_of(path)) == "tools"
        for target, line in imports_of(path)
        if f"{target}.".startswith("snapmirror.config.")
    ]
    assert not broken, "an adapter of a program does not know the configuration:\n" + "\n".join(broken)


def test_imports_have_no_cycle() -> None:
    """Those inside functions and those for types count as well: a circle is one, whenever it closes."""
    edges = {name_of(path): {t for t, _ in imports_of(path) if t in NAMES and t != name_of(path)} for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "import cycle: " + " > ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for target in sorted(edges[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_late_imports_are_counted() -> None:
    """Below the command line an import stands inside a function only where it spares each start some milliseconds."""
    late = 0
    for path in MODULES:
        if layer_of(name_of(path)) != "cli":
            at_once = set(imports_of(path, at_run_time=True))
            late += sum(1 for one in imports_of(path) if one not in at_once and one[0] in NAMES)
    assert late <= LATE, f"{late} imports inside functions or for types only, {LATE} before"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_and_says_what_it_is_for(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST, f"more than {LONGEST} lines: split it"
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), "a module opens with its purpose"


def test_a_record_is_a_struct() -> None:
    """A dataclass takes 0.4 ms of every start, a Struct 0.01; pydantic's models hold the one exception."""
    with_dataclasses = [name_of(path) for path in MODULES if "@dataclass" in path.read_text(encoding="utf-8")]
    assert with_dataclasses == ["snapmirror.model"]


def test_one_door_to_other_programs() -> None:
    forbidden_modules = {"sh", "subprocess", "multiprocessing", "pty", "popen2"}
    forbidden_calls = ("system", "popen", "fork", "forkpty", "exec", "spawn", "posix_spawn")
    broken = []
    for path in MODULES:
        if path.name == "process.py" and path.parent == PACKAGE:
            continue
        where = path.relative_to(ROOT)
        calls = tuple(call for call in forbidden_calls if path.name != "worker.py" or call != "fork")  # it runs itself
        broken += [f"{where}:{n}: imports {m}" for m, n in imports_of(path) if m.split(".")[0] in forbidden_modules]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" and node.attr.startswith(calls):
                broken.append(f"{where}:{node.lineno}: os.{node.attr}")
    assert not broken, "programs are run by snapmirror.process only:\n" + "\n".join(broken)


def test_one_door_to_threads() -> None:
    broken = []
    for path in MODULES:
        if path.name == "threads.py" and path.parent == PACKAGE:
            continue
        where = path.relative_to(ROOT)
        broken += [f"{where}:{line}: imports {module}" for module, line in imports_of(path) if module in THREAD_MODULES]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{one.name}" for one in node.names]
            else:
                continue
            broken += [f"{where}:{node.lineno}: {name}" for name in names if name in THREAD_CLASSES]
    assert not broken, "threads are started by snapmirror.threads only:\n" + "\n".join(broken)


def test_only_the_command_line_prints() -> None:
    broken = []
    for path in MODULES:
        if layer_of(name_of(path)) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in (
                "print",
                "sys.stdout",
                "sys.stderr",
            ):
                broken.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not broken, "only snapmirror.cli prints; others log, or return what there is to say:\n" + "\n".join(broken)


def tool(name: str) -> str:
    """A program of the environment that runs the tests."""
    return str(Path(sysconfig.get_path("scripts")) / name)


@pytest.mark.parametrize(
    "argv",
    [
        [sys.executable, "-m", "mypy", "--strict", "snapmirror", "tests"],
        [sys.executable, "-m", "mypy", "--strict", *APPLIANCE],
        [tool("ruff"), "check", "."],
        [tool("ruff"), "format", "--check", "."],
    ],
    ids=["mypy", "mypy-vm", "ruff-check", "ruff-format"],
)
def test_clean(argv: list[str]) -> None:
    done = process.run(argv, ok=range(256), cwd=ROOT)
    assert done.exit_code == 0, f"{done.text}\n{done.stderr.decode(errors='replace')}"


def test_no_signal_is_taken_for_a_failure() -> None:
    """`Interrupted` is a SnapmirrorError: who goes on after one must raise it again first, or the command goes on."""
    broken = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            is_suppress = isinstance(node, ast.Call) and ast.unparse(node.func) == "suppress"
            if isinstance(node, ast.Call) and is_suppress and "SnapmirrorError" in ast.unparse(node):
                broken.append(f"{path.relative_to(ROOT)}:{node.lineno}: write ignored()")
            if not isinstance(node, ast.Try):
                continue
            before = ""
            for handler in node.handlers:
                caught = ast.unparse(handler.type) if handler.type is not None else ""
                body = "\n".join(map(ast.unparse, handler.body))
                goes_on = not isinstance(handler.body[-1], ast.Raise) and not any(
                    sign in body for sign in ("Interrupted", "failed(", "exit_code")
                )
                if "SnapmirrorError" in caught and goes_on and "Interrupted" not in before:
                    broken.append(f"{path.relative_to(ROOT)}:{handler.lineno}: {caught}")
                before += caught
    allowed = {"snapmirror/tools/undo.py"}  # nothing is raised while something is undone
    assert not [one for one in broken if one.split(":")[0] not in allowed], "\n".join(broken)
