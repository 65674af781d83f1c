"""`python -m tests.campaigns.mutation --count 300`: which small faults in the recogniser no test sees.

cosmic-ray writes the faults (another comparison, operator, number or condition), a sample of which, drawn evenly from
the modules, is tried: each in a copy of the tree, against the tests that stand for its module. A fault that they pass
is a survivor: it is printed, and has to be killed by a new test or explained in survivors.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

import click
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).parents[3]
RECOGNITION, VALIDATION = "onnxgs_opt/recognition", "onnxgs_opt/validation"
ALGEBRA = "tests/recognition/algebra"
TESTS = {
    f"{RECOGNITION}/algebra/polynomial.py": (f"{ALGEBRA}/test_polynomial.py", "tests/recognition/test_matcher.py"),
    f"{RECOGNITION}/algebra/expression.py": (f"{ALGEBRA}/test_expression.py", "tests/recognition/test_matcher.py"),
    f"{RECOGNITION}/algebra/piecewise.py": (f"{ALGEBRA}/test_piecewise.py", "tests/recognition/test_matcher.py"),
    f"{RECOGNITION}/algebra/quantity.py": ("tests/recognition/test_every_size.py",),
    f"{RECOGNITION}/matcher.py": ("tests/recognition/test_matcher.py", "tests/recognition/test_mutants.py"),
    f"{RECOGNITION}/operands.py": ("tests/recognition/test_coordinates.py", "tests/recognition/test_separable.py"),
    f"{VALIDATION}/boundary_values.py": ("tests/validation/test_inputs.py", "tests/validation/test_check.py"),
    f"{VALIDATION}/compare.py": ("tests/validation/test_check.py", "tests/validation/test_words.py"),
}
"""By module, the tests that stand for it; they are run in this order, up to the first that fails."""

NO_FAULTS = ("BitOr", "RemoveDecorator", "ExceptionReplacer")
"""Parts of the names of mutations that change nothing here: `|` of annotations, caches, errors that nobody raises."""

LIMIT_S = 300.0
"""Seconds that the tests of one fault may take; one that runs on for ever is seen."""


@dataclass(frozen=True)
class Verdict:
    """What became of one fault: "killed", "survived" or "none" (nothing to change), and its diff."""

    module: str
    outcome: str
    diff: str


def faults(folder: Path, module: str) -> list[MutationSpec]:
    """All faults that cosmic-ray knows for a module."""
    config, session = folder / "config.toml", folder / "session.sqlite"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {LIMIT_S}\nexcluded-modules = []\n'
        'test-command = "true"\n[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    command = [str(Path(sys.executable).with_name("cosmic-ray")), "init", "--force", str(config), str(session)]
    subprocess.run(command, cwd=ROOT, check=True)
    with use_db(session, mode=WorkDB.Mode.open) as known:
        found = [spec for item in known.work_items for spec in item.mutations]
    return [spec for spec in found if not any(part in spec.operator_name for part in NO_FAULTS)]


def sample(count: int, seed: int) -> list[tuple[str, MutationSpec]]:
    """As many faults of each module as of the others, or all that it has."""
    rng = random.Random(seed)
    chosen: list[tuple[str, MutationSpec]] = []
    with tempfile.TemporaryDirectory() as folder:
        for module in TESTS:
            known = faults(Path(folder), module)
            some = rng.sample(known, min(len(known), -(-count // len(TESTS))))
            chosen += [(module, spec) for spec in some]
    rng.shuffle(chosen)
    return chosen[:count]


def copied(folder: Path) -> Path:
    """A copy of what git knows of the tree, and what it does not ignore."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def tried(tree: Path, module: str, spec: MutationSpec) -> Verdict:
    """Write one fault into a copy, run its tests there, and take it out again."""
    path = tree / module
    code = path.read_text(encoding="utf-8")
    wrong = mutate_code(code, get_operator(spec.operator_name)(**spec.operator_args), spec.occurrence)
    if wrong is None:
        return Verdict(module, "none", "")
    path.write_text(wrong, encoding="utf-8")
    try:
        outcome = "survived" if passes(tree, TESTS[module]) else "killed"
    finally:
        path.write_text(code, encoding="utf-8")
    return Verdict(module, outcome, "\n".join(unified_diff(code.splitlines(), wrong.splitlines(), module, n=1)))


def passes(tree: Path, tests: Sequence[str]) -> bool:
    """Whether the tests pass in time in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    path = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, **path}, check=False, capture_output=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def verdicts(count: int, seed: int, jobs: int) -> Iterator[Verdict]:
    """What became of each fault of a sample; `jobs` copies of the tree take turns."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for k in range(jobs):
            trees.put(copied(Path(folder) / str(k)))

        def one(fault: tuple[str, MutationSpec]) -> Verdict:
            tree = trees.get()
            try:
                return tried(tree, *fault)
            finally:
                trees.put(tree)

        yield from pool.map(one, sample(count, seed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every survivor as it is found, and a table by module at the end; 1 where one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="faults to try")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree that are tried at once")
    options = parser.parse_args(arguments)
    found: Counter[tuple[str, str]] = Counter()
    for number, verdict in enumerate(verdicts(options.count, options.seed, options.jobs), 1):
        found[verdict.module, verdict.outcome] += 1
        if verdict.outcome == "survived":
            click.echo(f"survivor of {number} so far:\n{verdict.diff}\n")
    click.echo("| module | killed | survived |\n|---|---|---|")
    for module in TESTS:
        numbers = [str(found[module, outcome]) for outcome in ("killed", "survived")]
        click.echo(f"| {module} | {' | '.join(numbers)} |")
    return int(any(outcome == "survived" for _, outcome in found))


if __name__ == "__main__":
    sys.exit(main())
