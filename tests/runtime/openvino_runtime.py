"""OpenVINO on its CPU device."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from onnx import ModelProto

from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.timing import Call, Feeds


@dataclass(frozen=True)
class OpenVino:
    name: str = "openvino-cpu"
    quirks: frozenset[Quirk] = frozenset({Quirk.SCAN_IS_A_LOOP})
    least_call_s: float = 5e-4

    def unavailable(self) -> str | None:
        return None if util.find_spec("openvino") else "openvino is not installed: pip install openvino"

    def version(self) -> str:
        return f"openvino {metadata.version('openvino')}"

    def device(self) -> str:
        return platform.node()

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        import openvino  # a runtime is imported when it is used

        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
        names = {name for port in compiled.inputs for name in port.get_names()}
        given = {name: value for name, value in feeds.items() if name in names}
        return lambda: compiled(given)
