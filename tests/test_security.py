"""What a model and the files beside it cannot do: reach the network, start a process, load a library, be evaluated.

The tool runs in a process of its own, in the folder of the hostile model; an audit hook stops it at the first attempt.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.fixtures.prepared import Prepared, prepared

MODELS = Path(__file__).parent / "fixtures" / "models"
LIBRARY = "libplanted.so"
CODE = "__import__('pathlib').Path('PWNED').touch()"
TEMPLATE = "{{ 98765 * 98765 }}"
HOSTILE = f"{CODE} {TEMPLATE} ${{PWNED}} $(touch PWNED) `touch PWNED` ./{LIBRARY}"

GUARD = """
import sys
from onnxgs_opt import api, cli  # what is imported from here on is lazy imports and what the model makes of them

STOPPED = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "pty."),
    *("ctypes.dlopen", "pickle.find_class", "webbrowser.", "urllib.", "http.", "ftplib.", "smtplib."),
)

def guard(event, args):
    if event.startswith(STOPPED) or (event == "compile" and "PWNED" in str(args[0])):
        sys.stderr.write(f"attempted: {event} {args}\\n")
        sys.stderr.flush()
        __import__("os")._exit(77)

sys.addaudithook(guard)
code = cli.main(sys.argv[1:])
with open("/proc/self/maps") as maps:
    sys.stderr.writelines("loaded: " + line for line in maps if "planted" in line and "x" in line.split()[1])
sys.exit(code)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps to see what was loaded")


@pytest.fixture(scope="module")
def process() -> Iterator[Prepared]:
    """What has imported as much as the script does before it watches."""
    with prepared("onnxgs_opt.api", "onnxgs_opt.cli") as waits:
        yield waits


def run(process: Prepared, folder: Path, *arguments: str, script: str = GUARD) -> subprocess.CompletedProcess[str]:
    program = process.program(folder.with_name(f"{folder.name}-guarded"), script)
    command = [str(program), "in.onnx", "out.onnx", "--no-cache", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def hostile() -> ModelProto:
    """A real export, every text of which tries to be code, a template, a shell command or a path."""
    model = onnx.load(MODELS / "masked_interior.ts17.dyn.onnx")
    graph = model.graph
    dims: dict[str, str] = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = dims.setdefault(dim.dim_param, f"{dim.dim_param} or {CODE}")
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        node.name = f"{node.name} {HOSTILE}"
        node.doc_string = HOSTILE
        node.input[:] = [name if name in inputs or not name else f"{name} {HOSTILE}" for name in node.input]
        node.output[:] = [f"{name} {HOSTILE}" for name in node.output]
    for value in (*graph.output, *graph.value_info, *graph.initializer):
        value.name = f"{value.name} {HOSTILE}"
    model.producer_name = graph.name = graph.doc_string = model.doc_string = HOSTILE
    for key in ("onnxgs_opt", "custom_ops_library", "ort_config", CODE):
        model.metadata_props.add(key=key, value=json.dumps({"session_options": {"custom_ops": f"./{LIBRARY}"}}))
    return model


def with_external_data() -> ModelProto:
    """Weights that lie in a file which is a library."""
    model = hostile()
    weight = TensorProto(name="weight", data_type=TensorProto.UINT8, dims=[64], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": LIBRARY, "offset": "0", "length": "64"}.items():
        weight.external_data.add(key=key, value=value)
    model.graph.initializer.append(weight)
    model.graph.node.append(helper.make_node("Identity", ["weight"], ["bytes"]))
    model.graph.output.append(helper.make_tensor_value_info("bytes", TensorProto.UINT8, [64]))
    return model


def with_custom_operator() -> ModelProto:
    """An operator whose domain and attributes are paths of a library."""
    model = hostile()
    attributes = {"library": LIBRARY, "path": f"./{LIBRARY}", "code": CODE}
    model.graph.node.append(helper.make_node("PyOp", ["img"], ["result"], domain=f"./{LIBRARY}", **attributes))
    model.graph.output.append(helper.make_empty_tensor_value_info("result"))
    model.opset_import.add(domain=f"./{LIBRARY}", version=1)
    return model


@pytest.fixture(params=[with_external_data, with_custom_operator])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A hostile model, with a real library of custom operators beside it."""
    import onnxruntime_extensions

    shutil.copy(onnxruntime_extensions.get_library_path(), tmp_path / LIBRARY)
    onnx.save(request.param(), tmp_path / "in.onnx")
    return tmp_path


def test_a_model_reaches_nothing(process: Prepared, folder: Path) -> None:
    reports = [word for ending in ("json", "md", "sarif", "html") for word in ("--report", f"report.{ending}")]
    done = run(process, folder, "--lowering", "merged-gather", "--bench", *reports)
    assert done.returncode == 0, done.stderr
    assert "attempted" not in done.stderr
    assert "loaded" not in done.stderr
    assert not (folder / "PWNED").exists()
    assert (folder / "out.onnx").exists()
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "98765 * 98765" in html
    assert str(98765 * 98765) not in html


def test_only_a_library_that_is_named_is_loaded(process: Prepared, folder: Path) -> None:
    """The control: the planted library would be seen."""
    done = run(process, folder, "--lowering", "merged-gather", "--custom-ops-library", LIBRARY)
    assert "loaded: " in done.stderr


@pytest.mark.parametrize(
    "attempt", ["import socket; socket.socket()", "import os; os.system('true')", f"compile({CODE!r}, 'x', 'eval')"]
)
def test_the_guard_stops_what_it_looks_for(process: Prepared, attempt: str, tmp_path: Path) -> None:
    """The control of the hook itself."""
    script = GUARD.replace("code = cli.main(sys.argv[1:])", attempt)
    assert run(process, tmp_path, script=script).returncode == 77


def test_pickled_inputs_are_not_loaded(process: Prepared, tmp_path: Path) -> None:
    """An object array is code: numpy would have to unpickle it."""
    shutil.copy(MODELS / "masked_interior.ts17.st.onnx", tmp_path / "in.onnx")
    array = io.BytesIO()
    np.lib.format.write_array(array, np.array([Path("PWNED")], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as file:
        file.writestr("img.npy", array.getvalue())
    done = run(process, tmp_path, "--lowering", "merged-gather", "--inputs", "in.npz")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot read inputs from 'in.npz'")
    assert not (tmp_path / "out.onnx").exists()


def test_the_tool_runs_where_there_is_no_network(tmp_path: Path) -> None:
    """In a network namespace of its own even a C library finds no interface."""
    isolated = ["unshare", "--map-root-user", "--net"]
    has_unshare = shutil.which("unshare") is not None
    if not has_unshare or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare may not make a network namespace here")
    shutil.copy(MODELS / "masked_interior.ts17.st.onnx", tmp_path / "in.onnx")
    command = [*isolated, sys.executable, "-m", "onnxgs_opt", "in.onnx", "out.onnx", "--lowering", "merged-gather"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.onnx").exists()


def test_nothing_is_written_but_out(tmp_path: Path) -> None:
    """onnxruntime keeps a device id and a database of events in the cache folder, unless it is told not to."""
    (tmp_path / "in.onnx").write_bytes((MODELS / "masked_interior.ts17.dyn.onnx").read_bytes())
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | home
    command = [sys.executable, "-m", "onnxgs_opt", "in.onnx", "out.onnx", "--no-cache"]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0
    assert {path.name for path in tmp_path.rglob("*")} == {"in.onnx", "out.onnx"}
