"""Tests of a tree in forked children, which begin with all that is outside the project imported.

A start of Python and of the libraries costs more than most tests, and a fault is in one module only: a child takes that
module from a text and everything else from the tree.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType

import pytest
from coverage import Coverage

FORK = multiprocessing.get_context("fork")
PRELOADED = ("hypothesis", "numpy.testing", "onnx.reference", "onnx_graphsurgeon", "onnxruntime", "onnxscript", "rich")
"""What tests import of other projects; those that are not installed they do without."""

LIMIT_S, LIMIT_BYTES = 90, 8 << 30
"""CPU seconds and memory of one child; a fault that runs on for ever, or takes all memory, is seen."""


@dataclass(frozen=True)
class Fault:
    """A module of the tree, by its path, with the line at which its text is another."""

    module: str
    line: int
    wrong: str = field(repr=False)


@dataclass(frozen=True)
class Known:
    """What the tests do where nothing is wrong: CPU seconds by test, and the tests that run each line of a module."""

    seconds: Mapping[str, float]
    tests: Mapping[str, Mapping[int, Sequence[str]]]

    def of(self, fault: Fault, budget_s: float) -> list[str]:
        """The tests that run what the fault changes, quick ones first, as many as the budget allows.

        Where a line is run by imports only, those that run any line of its module.
        """
        lines = self.tests[fault.module]
        ran = [line for line in lines if line <= fault.line]  # of a statement of many lines the first may be named
        found = set(filter(None, lines[max(ran)] if ran else ()))
        if not found:
            found = {test for tests in lines.values() for test in tests if test}
        chosen, spent = [], 0.0
        for test in sorted(found, key=lambda name: self.seconds[name]):
            spent += self.seconds[test]
            if spent > budget_s and chosen:
                break
            chosen.append(test)
        return chosen


class _Watch:
    """A plugin of pytest that notes how long each test takes and which lines it runs."""

    def __init__(self, modules: Sequence[Path]) -> None:
        self.seconds: dict[str, float] = {}
        self.coverage = Coverage(data_file=None, config_file=False, include=[str(path) for path in modules])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        started = time.process_time()
        self.coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")
            self.seconds[item.nodeid] = time.process_time() - started


class _Wrong(MetaPathFinder, SourceFileLoader):
    """Finds one module, whose text is not that of its file."""

    def __init__(self, tree: Path, fault: Fault) -> None:
        super().__init__(fault.module.removesuffix(".py").replace("/", "."), str(tree / fault.module))
        self.text = fault.wrong

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


def known(tree: Path, modules: Sequence[str], tests: Sequence[str]) -> Known | None:
    """Run the tests as they are; None where one of them fails."""
    notes = tree / "known.json"
    child = FORK.Process(target=_watched, args=(tree, modules, tests, notes))
    child.start()
    child.join()
    if child.exitcode:
        return None
    said = json.loads(notes.read_text(encoding="utf-8"))
    return Known(said["seconds"], {m: {int(n): t for n, t in lines.items()} for m, lines in said["tests"].items()})


def seen(tree: Path, trials: Iterable[tuple[Fault, Sequence[str]]], jobs: int) -> Iterator[tuple[Fault, bool]]:
    """Each fault, in the order in which they end, and whether one of its tests fails; `jobs` at once."""
    running: dict[int, tuple[multiprocessing.process.BaseProcess, Fault]] = {}

    def ended() -> Iterator[tuple[Fault, bool]]:
        for sentinel in wait(list(running)):
            child, fault = running.pop(sentinel)  # type: ignore[call-overload]
            child.join()
            yield fault, child.exitcode != 0

    for fault, tests in trials:
        if len(running) == jobs:
            yield from ended()
        child = FORK.Process(target=_faulty, args=(tree, fault, tests))
        child.start()
        running[child.sentinel] = child, fault
    while running:
        yield from ended()


def preload() -> None:
    """Import what the children then have."""
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def _enter(tree: Path) -> None:
    """Be a process that was started in the tree and says nothing."""
    os.chdir(tree)
    for name in [name for name in sys.modules if name.split(".")[0] in ("onnxgs_opt", "tests")]:
        del sys.modules[name]
    sys.path.insert(0, str(tree))
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _passes(tests: Sequence[str], *plugins: object) -> bool:
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "--hypothesis-seed=0"]
    return pytest.main([*options, *tests], plugins=plugins) == 0


def _by_file(tests: Sequence[str]) -> list[list[str]]:
    """The tests of each file, so that a file is imported only where those before it have passed."""
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.split("::")[0], []).append(test)
    return list(files.values())


def _watched(tree: Path, modules: Sequence[str], tests: Sequence[str], notes: Path) -> None:
    _enter(tree)
    paths = {module: tree / module for module in modules}
    watch = _Watch(list(paths.values()))
    watch.coverage.start()
    passed = _passes(tests, watch)
    watch.coverage.stop()
    if not passed:
        sys.exit(1)
    data = watch.coverage.get_data()
    lines = {module: data.contexts_by_lineno(str(path)) for module, path in paths.items()}
    notes.write_text(json.dumps({"seconds": watch.seconds, "tests": lines}), encoding="utf-8")


def _faulty(tree: Path, fault: Fault, tests: Sequence[str]) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    _enter(tree)
    sys.meta_path.insert(0, _Wrong(tree, fault))
    sys.exit(not all(map(_passes, _by_file(tests))))
