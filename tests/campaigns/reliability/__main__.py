"""Runs the campaigns and writes what came of them.

`python -m tests.campaigns.reliability [NAME...] [--executions N] [--jobs 2]`

The names are fuzz, faults, files and size; all of them without any. Raw results go to results.json beside this file,
where fuzzers that were stopped go on from, and from there into the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.campaigns.reliability import faults, files, fuzz, large

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- made by make reliability -->\n", "<!-- to here -->\n"


def main() -> int:
    """Run, write, and say with the exit code whether anything is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=[], help="fuzz, faults, files, size")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes that fuzz at a time")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in options.names or ("fuzz", "faults", "files", "size"):
        found: Any = None
        match name:
            case "fuzz":
                found = _fuzz(options.executions, options.jobs, unfinished(results, options.executions))
            case "faults":
                found = {k: t.to_json() if t else None for k, t in faults.campaigns().items()}
            case "files":
                found = files.main()
            case "size":
                with tempfile.TemporaryDirectory() as folder:
                    found = large.main(Path(folder))
            case _:
                parser.error(f"there is no campaign {name}")
        results[name] = {"date": datetime.date.today().isoformat(), "machine": machine(), "found": found}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{head}\n{table(results)}\n{tail}", encoding="utf-8")
    return 1 if broken(results) else 0


def unfinished(results: dict[str, Any], executions: int) -> dict[str, Any]:
    """The counts to go on from: none of a run that came to its end, which may have been of other code."""
    before: dict[str, Any] = results.get("fuzz", {}).get("found", {})
    return before if sum(tally["executions"] for tally in before.values()) < executions else {}


def _fuzz(executions: int, jobs: int, before: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.json"
        state.write_text(json.dumps(before), encoding="utf-8")
        return {name: tally.to_json() for name, tally in fuzz.resume(executions, state, jobs).items()}


def machine() -> str:
    """The kind of machine, in words."""
    return f"{os.cpu_count()}-core {platform.machine().replace('_', '-')} {platform.system()}"


def broken(results: dict[str, Any]) -> int:
    """How many trials of all came out as they must not."""
    fuzzed = results.get("fuzz", {}).get("found", {}).values()
    faulty = [tally for tally in results.get("faults", {}).get("found", {}).values() if tally]
    lost = [wrong for wrong in results.get("files", {}).get("found", {}).values() if wrong]
    return len(lost) + sum(len(t["failures"]) for t in fuzzed) + sum(len(t["broken"]) for t in faulty)


def table(results: dict[str, Any]) -> str:
    """The tables of the page, as Markdown."""
    return "\n".join(part(results[name]) for name, part in PARTS.items() if name in results)


def _stamp(result: dict[str, Any]) -> str:
    return f"({result['date']}, {result['machine']})"


def _fuzz_table(result: dict[str, Any]) -> str:
    lines = [f"### Fuzzed inputs {_stamp(result)}", ""]
    lines += ["| inputs | tried | refused | as they came | rewritten | of these run and equal | failed |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, tally in result["found"].items():
        counts = tally["outcomes"]
        rewritten = counts.get("rewritten", 0) + counts.get("proved", 0)
        cells = [name, tally["executions"], counts.get("refused", 0), counts.get("unchanged", 0), rewritten]
        cells += [counts.get("proved", 0), len(tally["failures"])]
        lines.append(f"| {' | '.join(f'{c:,}' if isinstance(c, int) else c for c in cells)} |")
    return "\n".join([*lines, ""])


def _fault_table(result: dict[str, Any]) -> str:
    lines = [f"### Faults while a model is saved {_stamp(result)}", ""]
    lines += ["| fault | injected | OUT as it was | OUT complete | broken |", "|---|---|---|---|---|"]
    for name, tally in result["found"].items():
        if tally is None:
            lines.append(f"| {name} | not possible there | | | |")
            continue
        counts = tally["outcomes"]
        cells = (tally["faults"], counts.get("OUT is old", 0), counts.get("OUT is new", 0), len(tally["broken"]))
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _files_table(result: dict[str, Any]) -> str:
    kinds = {one.name: "refused" if one.code else "done" for one in files.scenarios()}
    rows = [(name, kinds.get(name, ""), wrong or "nothing lost") for name, wrong in result["found"].items()]
    lines = [f"### {len(rows)} ways to name files {_stamp(result)}", "", "| what is tried | right is | came out |"]
    return "\n".join([*lines, "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""])


def _size_table(result: dict[str, Any]) -> str:
    lines = [f"### 2.25 GiB of weights in other files, `--no-validate` {_stamp(result)}", ""]
    lines += ["| data files | OUT in | seconds | processor seconds | peak memory |", "|---|---|---|---|---|"]
    for row in result["found"]:
        runs = row["runs"]
        middle = runs[len(runs) // 2]
        peak = max(run["peak_mb"] for run in runs)
        cells = (row["files"], row["where"], f"{middle['seconds']:.2f}", f"{middle['cpu_seconds']:.2f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {peak:.0f} MB |")
    return "\n".join([*lines, ""])


PARTS = {"fuzz": _fuzz_table, "faults": _fault_table, "files": _files_table, "size": _size_table}

if __name__ == "__main__":
    sys.exit(main())
