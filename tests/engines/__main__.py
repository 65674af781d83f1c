"""Engines of every lowering of every model in the folders, or of every curated spelling, static and dynamic.

python -m tests.engines [FOLDER]... [--jobs 2]; exit code 1 when one does not build.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from onnxgs_opt.errors import OptError
from tests.engines import Lowered, build, lowered
from tests.fixtures.spellings import build as spelt
from tests.fixtures.spellings import valid
from tests.fixtures.spellings.curated import curated

Source = tuple[str, Path | ModelProto]


def main() -> int:
    """Build them all and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start = time.monotonic()
    sources = list(_files(options.folders) if options.folders else _spellings())
    counts, failures = Counter[str](), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        pending = [pool.submit(_build_all, source, Path(folder)) for source in sources]
        for (name, _), future in zip(sources, pending, strict=True):
            built, failed = future.result()
            counts.update(built)
            counts.update([] if built or failed else ["no lowering"])
            failures += [f"{name} {line}" for line in failed]
    for line in failures:
        sys.stdout.write(f"FAILED {line}\n")
    engines = sum(count for name, count in counts.items() if name != "no lowering")
    table = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    took = time.monotonic() - start
    sys.stdout.write(
        f"{len(sources)} models, {engines} engines built ({table}), {len(failures)} failed, {took:.0f} s\n"
    )
    return 1 if failures else 0


def _files(folders: list[Path]) -> Iterator[Source]:
    for folder in folders:
        for path in sorted(folder.glob("*.onnx")):
            yield path.name, path


def _spellings() -> Iterator[Source]:
    for name, spelling in curated().items():
        for dims in ("static", "dynamic"):
            wanted = replace(spelling, dims=dims)
            if valid(wanted):
                yield f"{name} {dims}", spelt(wanted)


def _build_all(source: Source, folder: Path) -> tuple[list[str], list[str]]:
    """The lowerings that built, and a line for each that did not."""
    name, model = source
    origin = model if isinstance(model, Path) else folder / "model.onnx"
    built, failed = [], []
    for one in lowered(str(model) if isinstance(model, Path) else model):
        problem = _problem(one, origin, folder / f"{abs(hash(name))}.engine")
        built += [one.lowering] if problem is None else []
        failed += [] if problem is None else [f"{one.lowering}: {problem}"]
    return built, failed


def _problem(one: Lowered, origin: Path, output: Path) -> str | None:
    try:
        build(one, origin, output).path.unlink()
    except (OptError, AssertionError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
