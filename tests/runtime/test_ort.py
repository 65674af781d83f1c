"""Sessions side by side: what one has done must not slow what another does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime.ort import open_session

MODEL = Path(__file__).parents[1] / "fixtures/models/masked_interior.ts17.st.onnx"


def test_no_thread_waits_actively_between_runs() -> None:
    session = open_session(onnx.load(MODEL))
    assert session.raw.get_session_options().get_session_config_entry("session.force_spinning_stop") == "1"


def test_threads_sleep_unless_they_are_timed() -> None:
    """As they wait is onnxruntime's own affair where nothing is said of threads, as for whoever runs the model."""
    timed, checked = (open_session(onnx.load(MODEL), threads=n).raw.get_session_options() for n in (None, 2))
    assert checked.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    with pytest.raises(RuntimeError, match="does not have configuration"):
        timed.get_session_config_entry("session.intra_op.allow_spinning")


def test_what_onnxruntime_says_is_one_error_of_ours() -> None:
    model = onnx.load(MODEL)
    feeds = {value.name: np.zeros((1, 1, 1, 1), np.float32) for value in model.graph.input}
    with pytest.raises(RunError, match=r"^Got invalid dimensions"):
        open_session(model).run(None, feeds)
    next(node for node in model.graph.node if node.op_type == "Floor").domain = "unheard.of"
    model.opset_import.add(domain="unheard.of", version=1)
    with pytest.raises(RunError, match=r"--custom-ops-library FILE names the library that has it$"):
        open_session(model)
