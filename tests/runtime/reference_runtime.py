"""ONNX's own evaluator as a runtime."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnx import ModelProto, __version__
from onnx.reference import ReferenceEvaluator

from onnxgs_opt.runtime import Loaded, Quirk
from onnxgs_opt.runtime.as_file import as_file
from onnxgs_opt.runtime.timing import Call, Feeds


@dataclass(frozen=True)
class Reference:
    name: str = "reference"
    quirks: frozenset[Quirk] = frozenset({Quirk.SCAN_IS_A_LOOP})
    least_call_s: float = 5e-4
    checks: bool = True

    def unavailable(self) -> str | None:
        return None  # or what is missing, and how to install it

    def version(self) -> str:
        return f"onnx {__version__}"

    def device(self) -> str:
        return platform.node()

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Loaded:
        with as_file(model, folder) as path:
            return ReferenceEvaluator(str(path))  # has `run`; others need a class of their own

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        return partial(self.load(model, folder).run, None, feeds)
