"""`python -m bench.record RESULT.json...`: put results into the table that `auto` goes by where it cannot measure.

Results of `bench` make a target's record, those of `bench.reads` the sums of reads in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnxgs_opt
from bench.cases import SIZES
from onnxgs_opt.lowering import LOWERINGS

TABLE = Path(onnxgs_opt.__file__).parent / "data/recorded.json"
RUNTIMES = {"ort-cpu": "onnxruntime", "ort-cuda": "onnxruntime-gpu"}


def entry(path: Path) -> dict[str, Any]:
    """The record of one result: for each case the ratios of random coordinates."""
    result = json.loads(path.read_text(encoding="utf-8"))
    run = result["run"]
    package = RUNTIMES[run["target"]]
    return {
        "target": run["target"],
        "machine": run["machine"],
        "runtime": f"{package} {run['versions'][package]}",
        "date": run["date"],
        "source": f"bench/results/{path.name}",
        "cases": [
            {
                "image": list(SIZES[case]),
                "points": list(SIZES[case][2:]),
                "ratios": {
                    name: round(row["random"]["ratio"], 2)
                    for name, row in rows.items()
                    if name in LOWERINGS and "random" in row
                },
            }
            for case, rows in result["cases"].items()
        ],
    }


def reads(path: Path) -> dict[str, Any]:
    """Sums of reads, for the record of their target."""
    result = json.loads(path.read_text(encoding="utf-8"))
    own = ("read_op", "count", "data", "index", "ratios")
    said = {"date": result["run"]["date"], "source": f"bench/results/{path.name}"}
    rows = [{**{key: row[key] for key in own}, **said} for row in result["reads"].values()]
    return {"target": result["run"]["target"], "reads": rows}


def main() -> int:
    """Replace what the results are for in the records of their targets."""
    paths = [Path(name) for name in sys.argv[1:]]
    records = {record["target"]: record for record in json.loads(TABLE.read_text(encoding="utf-8"))["records"]}
    for path in paths:
        new = reads(path) if path.name.startswith("reads-") else entry(path)
        records[new["target"]] = {**records.get(new["target"], {}), **new}
    ordered = [records[target] for target in sorted(records)]
    TABLE.write_text(json.dumps({"format": 1, "records": ordered}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
