"""Sessions side by side: what one has done must not slow what another does."""

from __future__ import annotations

from pathlib import Path

import onnx

from onnxgs_opt.runtime.ort import open_session

MODEL = Path(__file__).parents[1] / "fixtures/models/masked_interior.ts17.st.onnx"


def test_no_thread_waits_actively_between_runs() -> None:
    session = open_session(onnx.load(MODEL))
    assert session.get_session_options().get_session_config_entry("session.force_spinning_stop") == "1"
