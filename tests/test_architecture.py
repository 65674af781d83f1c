"""The rooms of the package, enforced: imports go downwards only, modules and functions stay readable.

Each test looks at the whole package and lists every offender.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median, quantiles

import onnx.defs
import pytest

from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.recognition import KINDS

PACKAGE = Path(__file__).parents[1] / "onnxgs_opt"

ROOMS = """
_version errors diagnostics
files options
samplers
ir
runtime
lowering
passes
recognition job
validation
tuning
report
api
torch
cli plugin_cli __main__
"""
"""Lowest first; modules that stand beside the rooms share a line with each other or with the room that they lean on."""

RUNTIMES = frozenset({"onnxruntime", "tensorrt", "tensorrt_rtx", "polygraphy", "openvino", "MNN"})
OPTION_FUNCTIONS = frozenset({"optimize"})
"""What may take more than seven parameters, a line each: they are the options that a user gives."""

BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"})

SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
LEVEL = {room: level for level, line in enumerate(ROOMS.split("\n")) for room in line.split()}
TOP = PACKAGE / "__init__.py"
"""Names the public functions, which live in the highest rooms; so no module may import the package itself."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    """A module parsed, by the first test that asks: every process of a run imports this file, one runs its tests."""
    return ast.parse(SOURCES[path], str(path))


def room_of(path: Path) -> str:
    """The room that a file stands in, or its own name where it stands beside them."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level_of(path: Path) -> int:
    return LEVEL.get(room_of(path), -1)


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path) for path in SOURCES}


def imported_by(node: ast.AST) -> set[str]:
    """What one statement imports: modules by their full names, and what `import_module` is told to."""
    match node:
        case ast.Import(names):
            return {alias.name for alias in names}
        case ast.ImportFrom(str(module), names):
            return {f"{module}.{alias.name}" for alias in names} & NAMES or {module}
        case ast.Call(ast.Name("import_module") | ast.Attribute(attr="import_module"), [ast.Constant(str(module)), *_]):
            return {module}
    return set()


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever the statement stands and whatever it is for."""
    return frozenset(name for node in ast.walk(tree_of(path)) for name in imported_by(node))


def imports_at_once(path: Path) -> set[str]:
    """What importing the file imports: everything outside functions, bar what is for type checkers only."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Function | ast.Lambda) and not is_type_checking(node):
            found |= imported_by(node)
            waiting += ast.iter_child_nodes(node)
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def roots(names: frozenset[str] | set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def upwards(path: Path) -> Iterator[str]:
    """What a file imports of the package that does not stand in its own room or below."""
    for name in sorted(imports(path)):
        package, _, rest = name.partition(".")
        room = rest.partition(".")[0]
        if package == "onnxgs_opt" and LEVEL.get(room, len(LEVEL)) > level_of(path):
            yield f"{dotted(path)} imports {name}"


@cache
def functions() -> dict[str, Function]:
    return {
        f"{dotted(path)}:{node.lineno} {node.name}": node
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, Function)
    }


def lines(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def parameters(node: Function) -> list[str]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return [argument.arg for argument in given if argument and argument.arg not in {"self", "cls"}]


def calls(path: Path, name: str) -> bool:
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name for n in ast.walk(tree_of(path))
    )


def test_every_module_has_a_room() -> None:
    assert {room_of(path) for path in SOURCES if path != TOP} == set(LEVEL)


def test_few_modules_stand_beside_the_rooms() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_imports_go_downwards() -> None:
    assert [line for path in SOURCES if path != TOP for line in upwards(path)] == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {dotted(path): (imports(path) & NAMES) - {dotted(path)} for path in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_only_ir_imports_graphsurgeon() -> None:
    users = {room_of(path) for path in SOURCES if "onnx_graphsurgeon" in roots(imports(path))}
    assert users == {"ir"}


def test_only_runtime_imports_runtimes() -> None:
    assert {room_of(path) for path in SOURCES if roots(imports(path)) & RUNTIMES} == {"runtime"}


def test_runtimes_are_imported_late() -> None:
    assert [dotted(path) for path in SOURCES if roots(imports_at_once(path)) & RUNTIMES] == []


def test_nothing_imports_the_command_line() -> None:
    assert [dotted(path) for path in SOURCES if "onnxgs_opt.cli" in imports(path)] == ["onnxgs_opt.__main__"]


def test_click_stays_in_the_command_line() -> None:
    users = [path for path in SOURCES if "click" in roots(imports(path))]
    assert users
    assert [dotted(path) for path in users if level_of(path) < LEVEL["cli"]] == []


def test_only_the_command_line_prints() -> None:
    assert [dotted(path) for path in SOURCES if calls(path, "print")] == []


def test_the_library_reads_no_environment() -> None:
    readers = {
        dotted(path)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in {"environ", "getenv"}
    }
    assert readers <= {"onnxgs_opt.cli"}


def test_names_say_something() -> None:
    assert [dotted(p) for p in SOURCES if set(p.relative_to(PACKAGE).with_suffix("").parts) & BANNED_NAMES] == []


def test_modules_are_short() -> None:
    lengths = {dotted(path): len(source.splitlines()) for path, source in SOURCES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert median(lengths.values()) <= 120


def test_functions_are_short() -> None:
    lengths = {name: lines(node) for name, node in functions().items() if name.split()[-1] not in OPTION_FUNCTIONS}
    long = {name: length for name, length in lengths.items() if length > 50}
    assert long == {}
    assert median(lengths.values()) <= 8
    assert quantiles(lengths.values(), n=10)[-1] <= 20


def test_functions_take_few_parameters() -> None:
    many = {name: len(parameters(node)) for name, node in functions().items() if len(parameters(node)) > 7}
    assert {n for n in many if n.split()[-1] not in OPTION_FUNCTIONS} == set()


def operator_lists(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Lines of literals that list three operators or more, also as one text with blanks between.

    A dict from operators to functions is a table of rules, which lists none.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Set(listed) | ast.Tuple(listed) | ast.List(listed):
                words = constants(listed)
            case ast.Dict(listed, values) if any(isinstance(v, NO_FUNCTION) for v in values):
                words = constants(key for key in listed if key is not None)
            case ast.MatchOr(cases):
                words = constants(case.value for case in cases if isinstance(case, ast.MatchValue))
            case ast.Constant(str(text)) if set(text.split()) <= OPERATORS:
                words = set(text.split())
            case _:
                continue
        if len(words & OPERATORS) >= 3:
            yield node.lineno, sorted(words & OPERATORS)


def constants(nodes: Iterable[ast.expr]) -> set[object]:
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


NO_FUNCTION = ast.Constant | ast.Tuple | ast.List | ast.Set
OPERATORS: set[object] = {schema.name for schema in onnx.defs.get_all_schemas()}


def test_operators_are_listed_in_one_place() -> None:
    elsewhere = [
        f"{dotted(path)}:{line} {' '.join(names)}"
        for path in SOURCES
        if path != PACKAGE / "ir/operators.py"
        for line, names in operator_lists(tree_of(path))
    ]
    assert not elsewhere, "\n".join(elsewhere)


@pytest.mark.parametrize(
    "text",
    [
        '{"Add", "Sub", "Mul"}',
        '("Add", "Sub", "Mul", 1)',
        '{"Add": 1, "Sub": 2, "Mul": (0, 1)}',
        '"Add Sub Mul".split()',
    ],
)
def test_a_list_of_operators_is_told_from_a_table_of_rules(text: str) -> None:
    assert [names for _, names in operator_lists(ast.parse(text))] == [["Add", "Mul", "Sub"]]
    assert not list(operator_lists(ast.parse('{"Add": add, "Sub": sub, "Mul": make(1)}')))


def names_a_kind(texts: set[object]) -> bool:
    return any(text in {*KINDS} - set(LOWERINGS) or str(text).startswith("GSO00") for text in texts)


def sites_told_apart(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.Call(ast.Name("isinstance"), [_, kinds]):
                named = {n.id for n in ast.walk(kinds) if isinstance(n, ast.Name)}
            case ast.MatchClass(ast.Name(kind)):
                named = {kind}
            case ast.Compare(left, _, rest) if names_a_kind(constants((left, *rest))):
                named = {"Site"}
            case _:
                continue
        if any(name.endswith("Site") for name in named):
            yield f"{dotted(path)}:{node.lineno} {ast.unparse(node)}"


def test_sites_are_told_apart_by_their_kind() -> None:
    told_apart = [line for path in SOURCES for line in sites_told_apart(path)]
    assert told_apart == []
