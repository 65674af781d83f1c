"""onnxgs::DeformableAttention in onnxruntime, on a CUDA device unless told otherwise, beside the exported layer.

`python -m bench.attention_cuda MODELS LIBRARY OUT.json [--target ort-cpu]`: MODELS holds CASE.onnx, as `bench.decoder`
exports it, and CASE.FORM.onnx of the same layer for the form `plugin` and any others, as `onnxgs-opt --lowering FORM`
writes them. LIBRARY is onnxgs-ops'. Exit code 1 where the operator did not run on the device, or is further from the
exported layer, run on the CPU, than that layer is on the device, and by more than is allowed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from bench.native_cuda import gpu
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.ort import PROVIDERS
from onnxgs_opt.runtime.timing import race
from onnxgs_opt.samplers.op import ATTENTION

BUDGET_S = 2.0
CPU = "CPUExecutionProvider"
ALLOWED = {"float32": 1e-4, "float16": 2e-2}
"""Of numbers of unit variance, by the type of the queries, beside what the exported layer itself is away."""

Feeds = Mapping[str, Any]


def main() -> int:
    """Measure every case; print a line each and write the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.attention_cuda", description=__doc__)
    for name in ("models", "library", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--target", choices=tuple(PROVIDERS), default="ort-cuda")
    options = parser.parse_args()
    record: dict[str, Any] = {"machine": gpu(), "onnxruntime": ort.__version__, "python": platform.python_version()}
    failed = False
    for path in sorted(options.models.glob("*.plugin.onnx")):
        case = path.name.removesuffix(".plugin.onnx")
        record[case] = row = measure(options.models, case, str(options.library), options.target)
        failed |= not row["on device"] or row["operator error"] > row["exported error"] + row["allowed"]
        sys.stdout.write(f"{case}: {json.dumps(row)}\n")
        sys.stdout.flush()
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(failed)


def measure(folder: Path, case: str, library: str, target: str) -> dict[str, Any]:
    """Of each form microseconds, the exported one's ratio to it, and how far it is from that on the CPU."""
    exported = onnx.load(folder / f"{case}.onnx")
    forms = {path.name.split(".")[-2]: onnx.load(path) for path in folder.glob(f"{case}.*.onnx")}
    body = forms.pop("plugin")
    models = {"exported": exported, **forms, "body": body, "operator": body}
    feeds = feeds_of(exported)
    providers = list(dict.fromkeys((PROVIDERS[target], CPU)))
    wanted = outputs(exported, feeds, None, [CPU])
    libraries = {name: library if name == "operator" else None for name in models}
    errors = {
        name: max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(wanted, found, strict=True))
        for name, model in models.items()
        for found in [outputs(model, feeds, libraries[name], providers)]
    }
    runtime = RUNTIMES[target]
    own = {name: () if path is None else (path,) for name, path in libraries.items()}
    calls = {name: runtime.prepare(model, feeds, custom_ops=own[name]) for name, model in models.items()}
    for call in calls.values():
        call(), call()
    times = race(calls, BUDGET_S)
    return {
        "on device": provider_of(body, feeds, library, providers) == [PROVIDERS[target]],
        "allowed": ALLOWED[str(next(iter(feeds.values())).dtype)],
        **{f"{name} us": round(1e3 * times.median_ms(name), 1) for name in calls},
        **{f"exported / {name}": round(times.ratio("exported", name), 2) for name in calls if name != "exported"},
        **{f"{name} error": error for name, error in errors.items()},
    }


def feeds_of(model: onnx.ModelProto) -> dict[str, Any]:
    """Unit-normal inputs, and boxes of unit squares' centres and sizes, as they stand in the image."""
    rng = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        drawn = rng.random(shape) if value.name in ("boxes", "places") else rng.standard_normal(shape)
        feeds[value.name] = drawn.astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return feeds


def session(model: onnx.ModelProto, library: str | None, providers: list[Any], profile: str = "") -> Any:
    """A session; `profile` is what the names of its profiles begin with."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(library)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return ort.InferenceSession(model.SerializeToString(), options, providers=providers)


def outputs(model: onnx.ModelProto, feeds: Feeds, library: str | None, providers: list[str]) -> list[Any]:
    """What a model makes of the inputs, with products of matrices in float32, not in tf32."""
    exact: list[Any] = [(name, {"use_tf32": "0"}) if name == PROVIDERS["ort-cuda"] else name for name in providers]
    found: list[Any] = session(model, library, exact).run(None, feeds)
    return found


def provider_of(
    model: onnx.ModelProto, feeds: Feeds, library: str, providers: list[str], operator: str = ATTENTION
) -> list[str]:
    """The providers that ran the operator's nodes."""
    with tempfile.TemporaryDirectory() as folder:
        own = session(model, library, providers, f"{folder}/run")
        own.run(None, feeds)
        events = json.loads(Path(own.end_profiling()).read_text(encoding="utf-8"))
    ran = [event["args"] for event in events if event.get("args", {}).get("op_name") == operator]
    return sorted({args["provider"] for args in ran if "provider" in args})


if __name__ == "__main__":
    sys.exit(main())
