"""Engines of every lowering of every model in the folders, or of every curated spelling, static and dynamic.

python -m tests.campaigns.engines [FOLDER]... [--jobs 2]; exit code 1 when one does not build. Models of one opset are
built beside each other, a dozen at a time; where that fails, one by one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from onnxgs_opt.errors import OptError
from tests.campaigns.engines import Lowered, build, lowered, together
from tests.fixtures.spellings import build as spelt
from tests.fixtures.spellings import valid
from tests.fixtures.spellings.curated import curated

Named = tuple[str, Lowered]
DOZEN = 12


def main() -> int:
    """Build them all and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.engines", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start = time.monotonic()
    found, built, failures = Counter[str](), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        pending = [pool.submit(_failures, group, Path(folder)) for group in _groups(options.folders, found)]
        for future in pending:
            group, failed = future.result()
            built.update(one.lowering for _, one in group)
            failures += failed
    for line in failures:
        sys.stdout.write(f"FAILED {line}\n")
    table = ", ".join(f"{name} {count}" for name, count in sorted(built.items()))
    sys.stdout.write(
        f"{found['models']} models, {found['with a lowering']} of them with a lowering, {built.total()} lowered models"
        f" ({table}) in {len(pending)} engines, {len(failures)} failed, {time.monotonic() - start:.0f} s\n"
    )
    return 1 if failures else 0


def _groups(folders: Sequence[Path], found: Counter[str]) -> Iterator[list[Named]]:
    """Lowered models that may stand beside each other: of one lowering and one opset."""
    open_groups: dict[tuple[str, int], list[Named]] = {}
    for name, model in _files(folders) if folders else _spellings():
        ways = list(lowered(model))
        found.update(["models", *(["with a lowering"] if ways else [])])
        sys.stderr.write(f"{name}: {', '.join(one.lowering for one in ways)}\n")
        for one in ways:
            group = open_groups.setdefault((one.lowering, one.opset), [])
            group.append((name, one))
            if len(group) == DOZEN:
                yield open_groups.pop((one.lowering, one.opset))
    yield from open_groups.values()


def _files(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted(folder.glob("*.onnx")):
            yield path.name, str(path)


def _spellings() -> Iterator[tuple[str, ModelProto]]:
    for name, spelling in curated().items():
        for dims in ("static", "dynamic"):
            wanted = replace(spelling, dims=dims)
            if valid(wanted):
                yield f"{name} {dims}", spelt(wanted)


def _failures(group: list[Named], folder: Path) -> tuple[list[Named], list[str]]:
    """The group, and a line for each of its models that does not build."""
    if _problem(together([one for _, one in group]), folder) is None:
        return group, []
    problems = {name: _problem(one, folder) for name, one in group}
    lines = [f"{name} {group[0][1].lowering}: {problem}" for name, problem in problems.items() if problem is not None]
    return group, lines or [f"{', '.join(problems)} {group[0][1].lowering}: only beside each other"]


def _problem(one: Lowered, folder: Path) -> str | None:
    output = folder / f"{id(one)}.engine"
    try:
        build(one, folder / "model.onnx", output).path.unlink()
    except (OptError, AssertionError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
