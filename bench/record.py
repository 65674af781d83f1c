"""`python -m bench.record RESULT.json...`: put results into the table that `auto` goes by where it cannot measure.

Results of `bench` make a target's record, those of `bench.reads` the sums of reads in it, those of `bench.kernels` the
samplers of other kernels, those of `bench.resizes` the resamplings, those of `bench.roi_aligns` RoIAlign by hand, those
of `bench.deforms` the deformable convolutions, those of `bench.attentions` deformable attention by hand; those of
`bench.tensorrt.engines`, in the folder tensorrt, add their cases to what is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnxgs_opt
from bench.cases import NORMALISED, shape_of
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.tuning.database import COORDINATES

TABLE = Path(onnxgs_opt.__file__).parent / "data/recorded.json"
RUNTIMES = {"ort-cpu": "onnxruntime", "ort-cuda": "onnxruntime-gpu", "openvino": "openvino", "mnn": "MNN"}
"""By target, the package whose version a record names."""


def entry(path: Path) -> dict[str, Any]:
    """The record of one result: for each case the ratios of random coordinates."""
    result = json.loads(path.read_text(encoding="utf-8"))
    run = result["run"]
    package = RUNTIMES[run["target"]]
    said = {"date": run["date"], "source": f"bench/results/{path.name}"}
    return {
        "target": run["target"],
        "machine": run["machine"],
        "runtime": f"{package} {run['versions'][package]}",
        **said,
        "cases": [
            {
                "image": list(shape_of(case)),
                "points": list(shape_of(case)[2:]),
                **({"coordinates": "normalised"} if case.startswith(NORMALISED) else {}),
                **{
                    key: {name: round(row[kind]["ratio"], 2) for name, row in rows.items() if _is_own(name, row)}
                    for key, kind in (("ratios", "random"), ("smooth", "smooth"))
                },
                **said,
            }
            for case, rows in result["cases"].items()
        ],
    }


def _is_own(name: str, row: dict[str, Any]) -> bool:
    return name in LOWERINGS and "random" in row


ENGINE_CASES = {
    "a": (1, 1, 1080, 1920),
    "b": (1, 64, 135, 240),
    "c": (4, 256, 64, 64),
    "d": (8, 64, 270, 480),
    "a8": (8, 3, 1080, 1920),
}
"""Sizes of the cases of `bench.tensorrt`."""


def engines(path: Path) -> dict[str, Any]:
    """The record of engines, for the sizes that the result has: one result may add cases to another's."""
    result = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, dict[str, float]]] = {}
    latest = [{"case": "a", "lowering": "plugin", **row} for row in result.get("case_a", {}).get("rows", ())]
    for row in (*result["rows"], *latest):  # the kernel of that case was measured again
        if row["lowering"] in LOWERINGS:
            ratio = row["ratio"] if isinstance(row["ratio"], float) else sum(row["ratio"]) / len(row["ratio"])
            kind = {"random": "ratios", "smooth": "smooth"}[row["grid"]]
            found.setdefault(row["case"], {}).setdefault(kind, {})[row["lowering"]] = round(ratio, 2)
    said = {"date": result["date"], "source": f"bench/results/tensorrt/{path.name}"}
    cases = [
        {"image": list(ENGINE_CASES[case]), "points": list(ENGINE_CASES[case][2:]), **ratios, **said}
        for case, ratios in found.items()
    ]
    machine, runtime = result["machine"].partition(",")[0], f"TensorRT {result['tensorrt']}"
    return {"target": "tensorrt", "machine": machine, "runtime": runtime, **said, "cases": cases}


def reads(path: Path) -> dict[str, Any]:
    """Sums of reads, for the record of their target."""
    result = json.loads(path.read_text(encoding="utf-8"))
    own = ("read_op", "count", "data", "index", "ratios")
    said = {"date": result["run"]["date"], "source": f"bench/results/{path.name}"}
    rows = [{**{key: row[key] for key in own}, **said} for row in result["reads"].values()]
    return {"target": result["run"]["target"], "reads": rows}


def least(path: Path, table: str, own: tuple[str, ...]) -> dict[str, Any]:
    """Sites of another kind than samplers: what each form gains at least at every size.

    `own` are the keys by which sizes are told. What a model gains depends on how it is spelt, and on whether its
    indices are tables in the file, which a record does not tell.
    """
    result = json.loads(path.read_text(encoding="utf-8"))
    cases: dict[str, dict[str, Any]] = {}
    for row in result[table]:
        size = {key: row[key] for key in own}
        if row.get("read_op") == "GridSample":  # what nodes gain has nothing to do with what their spellings do
            size |= {"read_op": "GridSample"}
        case = cases.setdefault(json.dumps(size), size)
        for key in (key for key in COORDINATES if key in row):
            ratios = case.setdefault(key, {})
            ratios |= {form: min(ratio, ratios.get(form, ratio)) for form, ratio in row[key].items()}
    said = {"date": result["run"]["date"], "source": f"bench/results/{path.name}"}
    return {"target": result["run"]["target"], table: [{**case, **said} for case in cases.values()]}


def _record(path: Path) -> dict[str, Any]:
    if path.parent.name == "tensorrt":
        return engines(path)
    if path.name.startswith("attentions-"):
        return least(path, "attentions", ("value", "samples"))
    if path.name.startswith("deforms-"):
        return least(path, "deforms", ("image", "products"))
    if path.name.startswith("kernels-"):
        return least(path, "kernels", ("read_op", "image", "points"))
    if path.name.startswith("resizes-"):
        return least(path, "resizes", ("read_op", "image", "elements"))
    if path.name.startswith("roi-aligns-"):
        return least(path, "boxes", ("image", "boxes", "samples"))
    return reads(path) if path.name.startswith("reads-") else entry(path)


def main() -> int:
    """Replace what the results are for in the records of their targets; several for one target add to each other."""
    records = {record["target"]: record for record in json.loads(TABLE.read_text(encoding="utf-8"))["records"]}
    made: dict[str, dict[str, Any]] = {}
    for path in map(Path, sys.argv[1:]):
        new = _record(path)
        made[new["target"]] = _joined(made.get(new["target"], {}), new)
    for target, new in made.items():
        records[target] = {**records.get(target, {}), **new}
    ordered = [records[target] for target in sorted(records)]
    TABLE.write_text(json.dumps({"format": 1, "records": ordered}, indent=1) + "\n", encoding="utf-8")
    return 0


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """One record of two: ratios of the same case stand together, the later one for a lowering that both have."""
    both = [key for key in new if key in old and isinstance(new[key], list) and key != "cases"]
    old = {**old, **{key: [*old[key], *new[key]] for key in both}}
    new = {key: value for key, value in new.items() if key not in both}
    if "cases" not in old or "cases" not in new:
        return {**old, **new}
    cases = {_told_by(case): case for case in old["cases"]}
    for case in new["cases"]:
        before = cases.get(_told_by(case), {})
        ratios = {kind: {**before.get(kind, {}), **case.get(kind, {})} for kind in ("ratios", "smooth")}
        cases[_told_by(case)] = {**before, **case, **ratios}
    return {**old, **new, "cases": list(cases.values())}


def _told_by(case: dict[str, Any]) -> tuple[Any, ...]:
    return (*case["image"], case.get("coordinates"))


if __name__ == "__main__":
    sys.exit(main())
