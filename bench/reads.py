"""Sums of reads whose meaning is not known: several reads against one, cut up again.

`python -m bench.reads` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from onnx import ModelProto, TensorProto, helper

from bench.measure import header
from bench.one_site import arguments, in_turn, write
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import CANONICALISE
from onnxgs_opt.recognition.findings import survey
from onnxgs_opt.tuning.trial import trial_of

CASES = {
    "colours from a 33x33x33 table": ("Gather", 8, (35937, 3), (540, 960)),
    "bicubic, channels last": ("Gather", 16, (16384, 64), (128, 128)),
    "bicubic, planes": ("GatherElements", 16, (1, 3, 262144), (1, 3, 262144)),
    "trilinear, planes": ("GatherElements", 8, (1, 16, 262144), (1, 16, 262144)),
    "trilinear, channels last": ("GatherND", 8, (32, 64, 64, 16), (131072, 3)),
}
"""Operator, number of reads, shape of the data and of each index."""

BUDGET_S = 4.0


def model(op: str, count: int, data: tuple[int, ...], index: tuple[int, ...]) -> ModelProto:
    """The sum of `count` reads of one tensor, each at an index that is an input."""
    names = [f"index{k}" for k in range(count)]
    nodes = [helper.make_node(op, ["data", name], [f"read{name}"], **_axis(op)) for name in names]
    total = f"read{names[0]}"
    for name in names[1:]:
        nodes.append(helper.make_node("Add", [total, f"read{name}"], [f"sum{name}"]))
        total = f"sum{name}"
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, data)]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, index) for name in names]
    outputs = [helper.make_tensor_value_info(total, TensorProto.FLOAT, None)]
    return helper.make_model(
        helper.make_graph(nodes, "sum", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


def _axis(op: str) -> dict[str, int]:
    return {"Gather": {"axis": 0}, "GatherElements": {"axis": 2}}.get(op, {})


def measure(op: str, count: int, data: tuple[int, ...], index: tuple[int, ...], target: str) -> dict[str, Any]:
    """The reads alone, as they are and merged, in turn."""
    graph = Graph.from_proto(model(op, count, data, index))
    CANONICALISE.run(graph)
    (site,) = survey(graph).sums
    trial = trial_of(graph, graph, site)
    _, times = in_turn(trial, graph, ("merged-gather",), target, BUDGET_S)
    return {
        "read_op": op,
        "count": len(site.reads),
        "data": list(data),
        "index": list(index),
        "keep_ms": times.median_ms("keep"),
        "ratios": {"merged-gather": round(times.ratio("keep", "merged-gather"), 2)},
        "spread": round(times.spread("merged-gather"), 2),
    }


def main() -> int:
    """Run the command line."""
    options = arguments("reads", __doc__).parse_args()
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401  onnxruntime-gpu finds the CUDA libraries that it loads
    result = {"run": header(options.target, options.machine, ["python -m bench.reads", *sys.argv[1:]]), "reads": {}}
    for name, case in CASES.items():
        result["reads"][name] = measure(*case, options.target)
        sys.stderr.write(f"{name}: {result['reads'][name]}\n")
    write(result, options.out, "reads", to_markdown(result))
    return 0


def to_markdown(result: dict[str, Any]) -> str:
    """One row a case."""
    run = result["run"]
    lines = [
        f"# Sums of reads: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. The reads alone, medians of",
        "rounds in turn; the ratio is several reads / one read that is cut up again, above 1 the one is faster.",
        "",
        "| | reads | data | each index | several, ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["reads"].items():
        data, index = ("x".join(map(str, row[key])) for key in ("data", "index"))
        ratio = row["ratios"]["merged-gather"]
        lines.append(
            f"| {name} | {row['count']} {row['read_op']} | {data} | {index} | {row['keep_ms']:.3g} | {ratio} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
