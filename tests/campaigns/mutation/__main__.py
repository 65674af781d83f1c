"""`python -m tests.campaigns.mutation --count 300`: which small faults in the recogniser no test sees.

cosmic-ray writes the faults (another comparison, operator, number or condition), a sample of which, drawn evenly from
the modules, is tried, each against the tests that run the line it is in, quick ones first. A fault that they pass is a
survivor: it is printed, and has to be killed by a new test or explained in survivors.md.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from pathlib import Path

import click
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

from tests.campaigns.mutation.trial import Fault, known, preload, seen

ROOT = Path(__file__).parents[3]
SURVIVORS = Path(__file__).with_name("survivors.md")
ALGEBRA, RECOGNITION, VALIDATION = (
    f"onnxgs_opt/{room}" for room in ("recognition/algebra", "recognition", "validation")
)
MODULES = (
    *(f"{ALGEBRA}/{name}.py" for name in ("polynomial", "expression", "piecewise", "cells", "quantity")),
    *(f"{RECOGNITION}/{name}.py" for name in ("matcher", "operands")),
    *(f"{VALIDATION}/{name}.py" for name in ("boundary_values", "compare")),
)
TESTS = (
    "tests/recognition/algebra",
    *(f"tests/recognition/test_{name}.py" for name in ("matcher", "operands", "separable", "coordinates")),
    "tests/recognition/test_forms.py::test_batches_of_two_names_are_one",
    "tests/recognition/test_forms.py::test_every_sampler_is_found[both coordinates in one axis, rounded together]",
    "tests/recognition/test_spellings.py::test_spelling_is_recognised[policy=mirror coordinates=ac1-half layout=ROWS]",
    *(f"tests/validation/test_{name}.py" for name in ("boundary_values", "compare", "moved", "inputs", "words")),
)
"""What is run of the suite: what sees most faults of these modules, and does not take long."""

NO_FAULTS = re.compile("BitOr|RemoveDecorator|ExceptionReplacer|_Eq_Is$|_NotEq_IsNot$|_Is_Eq$|_IsNot_NotEq$")
"""Names of mutations that change nothing here: `|` of annotations, caches, errors that nobody raises, `is` for `==`
of what is small and one object, `==` for `is` of what is equal only then."""

PROMISES = ("strict=True", "frozen=True")
"""Arguments that change nothing as long as what they promise holds."""

BUDGET_S = 12.0
"""CPU seconds of tests that one fault is tried against at most."""


def specs(modules: Sequence[str]) -> dict[str, list[MutationSpec]]:
    """All faults that cosmic-ray knows, by module."""
    found: dict[str, list[MutationSpec]] = {module: [] for module in modules}
    with tempfile.TemporaryDirectory() as folder:
        config, session = Path(folder) / "config.toml", Path(folder) / "session.sqlite"
        config.write_text(
            f"[cosmic-ray]\nmodule-path = {list(modules)}\ntimeout = 1.0\nexcluded-modules = []\n"
            'test-command = "true"\n[cosmic-ray.distributor]\nname = "local"\n',
            encoding="utf-8",
        )
        command = [str(Path(sys.executable).with_name("cosmic-ray")), "init", "--force", str(config), str(session)]
        subprocess.run(command, cwd=ROOT, check=True)
        with use_db(session, mode=WorkDB.Mode.open) as listed:
            for item in listed.work_items:
                for spec in item.mutations:
                    if not NO_FAULTS.search(spec.operator_name):
                        found[str(spec.module_path)].append(spec)
    return found


def sample(tree: Path, modules: Sequence[str], count: int, seed: int) -> list[Fault]:
    """As many faults of each module as of the others, or all that it has."""
    rng = random.Random(seed)
    chosen: list[Fault] = []
    for module, listed in specs(modules).items():
        some = rng.sample(listed, min(len(listed), -(-count // len(modules))))
        chosen += filter(None, (written(tree, module, spec) for spec in some))
    rng.shuffle(chosen)
    return chosen[:count]


def written(tree: Path, module: str, spec: MutationSpec) -> Fault | None:
    """The module with the fault in it; None where that changes nothing."""
    code = (tree / module).read_text(encoding="utf-8")
    wrong = mutate_code(code, get_operator(spec.operator_name)(**spec.operator_args), spec.occurrence)
    if wrong is None or any(wrong.count(text) != code.count(text) for text in PROMISES):
        return None
    return None if wrong == code else Fault(module, spec.start_pos[0], wrong)


def copied(folder: Path) -> Path:
    """A copy of what git knows of the tree, and what it does not ignore: nothing changes while faults are tried."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def diff_of(tree: Path, fault: Fault) -> str:
    """What the fault changes, with a line around it."""
    right = (tree / fault.module).read_text(encoding="utf-8").splitlines()
    return "\n".join(unified_diff(right, fault.wrong.splitlines(), fault.module, n=1, lineterm=""))


def explained(diff: str, explanations: str) -> bool:
    """Whether both lines of a fault are in a row of the list of survivors."""
    changed = [line[1:].strip() for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
    return any(all(f"`{line}`" in row for line in changed) for row in explanations.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every survivor as it is found, and a table by module at the end; 1 where one is not explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="faults to try")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", default="", help="text of the paths of the modules to try, instead of all")
    parser.add_argument("--jobs", type=int, default=2, help="faults that are tried at once")
    options = parser.parse_args(arguments)
    preload()
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        sound = known(tree, MODULES, TESTS)
        if sound is None:
            click.echo("error: tests fail where nothing is wrong: mend that before looking for faults", err=True)
            return 2
        modules = [module for module in MODULES if options.only in module]
        explanations = SURVIVORS.read_text(encoding="utf-8")
        found: Counter[tuple[str, str]] = Counter()
        faults = []
        for fault in sample(tree, modules, options.count, options.seed):
            if explained(diff_of(tree, fault), explanations):
                found[fault.module, "explained"] += 1
            else:
                faults.append(fault)
        judged(tree, seen(tree, ((fault, sound.of(fault, BUDGET_S)) for fault in faults), options.jobs), found)
    click.echo("| module | killed | explained | survived |\n|---|---|---|---|")
    for module in modules:
        numbers = [str(found[module, outcome]) for outcome in ("killed", "explained", "survived")]
        click.echo(f"| {module} | {' | '.join(numbers)} |")
    return int(any(outcome == "survived" for _, outcome in found))


def judged(tree: Path, verdicts: Iterator[tuple[Fault, bool]], found: Counter[tuple[str, str]]) -> None:
    """Count what became of the faults, and print those that survive."""
    started = time.monotonic()
    for number, (fault, killed) in enumerate(verdicts, 1):
        found[fault.module, "killed" if killed else "survived"] += 1
        if not killed:
            click.echo(f"survivor, fault {number} after {time.monotonic() - started:.0f} s:\n{diff_of(tree, fault)}\n")


if __name__ == "__main__":
    sys.exit(main())
