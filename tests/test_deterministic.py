"""The same input, options and versions make the same bytes: model and report, but for what a clock says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "fixtures" / "models"
RUNS = (
    ("masked_interior.ts17.dyn.onnx", "merged-gather"),
    ("masked_interior_normalized.dy20.st.onnx", "packed-gather"),
    ("masked_interior.dy18.dyn.slim.onnx", "plugin"),
    ("masked_interior_normalized.ts11.dyn.sim.onnx", "lerp-gather"),
    ("masked_interior.ts11.st.onnx", "grid-sample"),
)
SCRIPT = """
import json, sys
from onnxgs_opt import cli
for model, lowering in json.loads(sys.argv[1]):
    wanted = [f"--report=out.{lowering}.{ending}" for ending in ("json", "md", "sarif", "html")]
    wanted += ["--lowering", lowering, "--save-plan", f"{lowering}.plan"]
    assert cli.main([model, f"out.{lowering}.onnx", *wanted]) == 0
"""


def outcome(folder: Path, hash_seed: str) -> dict[str, Any]:
    """What a process with another order of sets writes: the bytes of every file, the times taken out."""
    folder.mkdir()
    runs = [(os.path.relpath(MODELS / name, folder), lowering) for name, lowering in RUNS]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT, json.dumps(runs)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files: dict[str, Any] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in files:
        if name.endswith(".json"):
            report = json.loads(files[name])
            assert set(report.pop("timings")) >= {"load", "find"}
            assert report["provenance"].pop("date")
            files[name] = report
        elif name.endswith(".html"):
            files[name], dates = re.subn(rb"<tr><th>date</th>.*", b"", files[name])
            assert dates == 1
    return {**files, "stdout": done.stdout}


def test_order_of_sets_and_process_make_no_difference(tmp_path: Path) -> None:
    first, other = (outcome(tmp_path / seed, seed) for seed in ("0", "4242"))
    assert len(first) == 6 * len(RUNS) + 1
    assert [name for name in first if first[name] != other[name]] == []


def test_a_plan_replays_to_the_same_bytes(tmp_path: Path) -> None:
    """Measuring may choose otherwise next time; a saved plan does not."""
    from onnxgs_opt import optimize

    source, plan = MODELS / "masked_interior.ts17.st.onnx", tmp_path / "plan.json"
    optimize(source, tmp_path / "tuned.onnx", save_plan=plan)
    for name in ("a.onnx", "b.onnx"):
        optimize(source, tmp_path / name, plan=plan)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "tuned.onnx").read_bytes()
