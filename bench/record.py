"""`python -m bench.record RESULT.json...`: put results into the table that `auto` goes by where it cannot measure."""

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


def main() -> int:
    """Replace the records of the targets that the results are for."""
    new = [entry(Path(name)) for name in sys.argv[1:]]
    old = json.loads(TABLE.read_text(encoding="utf-8"))["records"]
    kept = [record for record in old if record["target"] not in {record["target"] for record in new}]
    records = sorted([*kept, *new], key=lambda record: str(record["target"]))
    TABLE.write_text(json.dumps({"format": 1, "records": records}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
