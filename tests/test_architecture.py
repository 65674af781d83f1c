"""The layers of the package, enforced: imports go downwards only, modules and functions stay readable."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parent.parent / "onnxgs_opt"

LAYERS = (
    "_version errors diagnostics",
    "samplers",
    "ir",
    "runtime",
    "lowering",
    "passes",
    "recognition options",
    "validation",
    "tuning",
    "report",
    "api",
    "cli cli_options plugin_cli",
)
"""Modules and sub-packages, lowest first; `__init__` re-exports and may import anything but `cli`."""

RUNTIMES = frozenset({"onnxruntime", "tensorrt", "tensorrt_rtx", "polygraphy", "openvino"})
MODULE_LINES = 400
MEDIAN_FUNCTION_LINES = 10
LONG_FUNCTION_LINES = 40  # at the 90th percentile
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})

MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in MODULES}
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts.split()}


def part_of(path: Path) -> str:
    """The name that `LAYERS` knows a file by: its module, or its sub-package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path) for path in MODULES}


def imports(tree: ast.AST) -> set[str]:
    """Every module that the tree imports, wherever the statement stands, bar those for type checkers only."""
    found: set[str] = set()
    typing_only = {id(child) for node in ast.walk(tree) if is_type_checking(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
            found.update(submodules or {node.module})
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def module_level_imports(tree: ast.Module) -> set[str]:
    """What importing the module imports: everything outside functions."""
    late = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    now = [node for node in tree.body if not isinstance(node, late) and not is_type_checking(node)]
    return imports(ast.Module(now, []))


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def functions() -> list[tuple[str, int]]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.end_lineno is not None
    ]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_every_module_has_a_layer(path: Path) -> None:
    part = part_of(path)
    assert part == "__init__" or part in LEVEL, f"{part} stands in no layer: add it to LAYERS"


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) != "__init__"], ids=dotted)
def test_imports_go_downwards(path: Path) -> None:
    level = LEVEL[part_of(path)]
    for name in imports(TREES[path]):
        root, _, rest = name.partition(".")
        if root != "onnxgs_opt":
            continue
        part = rest.partition(".")[0]
        assert part, f"{dotted(path)} imports the package itself, which re-exports from above"
        assert LEVEL[part] <= level, f"{dotted(path)} (layer {level}) imports {name} (layer {LEVEL[part]})"


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {dotted(path): imports(tree) & NAMES - {dotted(path)} for path, tree in TREES.items()}
    TopologicalSorter(graph).prepare()


def test_runtimes_are_imported_late_and_in_their_room_only() -> None:
    early = {dotted(path) for path in MODULES if roots(module_level_imports(TREES[path])) & RUNTIMES}
    elsewhere = {dotted(p) for p in MODULES if part_of(p) != "runtime" and roots(imports(TREES[p])) & RUNTIMES}
    assert (early, elsewhere) == (set(), set())


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_nothing_imports_the_command_line(path: Path) -> None:
    assert "onnxgs_opt.cli" not in imports(TREES[path])


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_click_stays_in_the_command_line(path: Path) -> None:
    assert LEVEL.get(part_of(path)) == LEVEL["cli"] or "click" not in roots(imports(TREES[path]))


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_module_is_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & BANNED_NAMES


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [node.func for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    assert "print" not in names


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_the_library_reads_no_environment(path: Path) -> None:
    reads = {
        node.attr
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert part_of(path) == "cli" or not reads & {"environ", "getenv"}


def test_only_the_ir_imports_graphsurgeon() -> None:
    users = {dotted(path) for path, tree in TREES.items() if "onnx_graphsurgeon" in roots(imports(tree))}
    assert "onnxgs_opt.ir" in users
    assert not [name for name in sorted(users) if not f"{name}.".startswith("onnxgs_opt.ir.")]


def test_functions_are_short() -> None:
    lengths = sorted(length for _, length in functions())
    assert median(lengths) <= MEDIAN_FUNCTION_LINES
    assert lengths[int(0.9 * len(lengths))] <= LONG_FUNCTION_LINES
