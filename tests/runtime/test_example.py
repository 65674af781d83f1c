"""The runtime that docs/writing-a-runtime.md shows: it has what the protocol asks for, and it runs."""

from __future__ import annotations

from importlib.util import find_spec
from inspect import isfunction, signature
from typing import get_type_hints

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt.runtime import Quirk, Runtime
from tests.runtime.openvino_runtime import OpenVino

OPENVINO: Runtime = OpenVino()
ASKED = {name: member for name, member in vars(Runtime).items() if not name.startswith("_")}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_a_runtime(name: str) -> None:
    assert hasattr(OPENVINO, name)
    asked = ASKED[name]
    if not isfunction(asked):
        assert get_type_hints(OpenVino)[name] == get_type_hints(asked.fget)["return"]
        return
    own = getattr(OpenVino, name)
    assert list(signature(own).parameters) == list(signature(asked).parameters)
    assert get_type_hints(own) == get_type_hints(asked)


def test_it_says_what_is_missing_or_runs() -> None:
    assert OPENVINO.quirks <= frozenset(Quirk)
    if find_spec("openvino") is None:
        assert str(OPENVINO.unavailable()).endswith("pip install openvino")
        return
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[2] a) => (float[2] b) { b = Add (a, a) }'
    feeds = {"a": np.array([1, 2], np.float32), "other": np.array([0], np.float32)}
    (found,) = OPENVINO.prepare(parser.parse_model(text), feeds)().values()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found, [2, 4])
    assert OPENVINO.unavailable() is None
    assert OPENVINO.version().startswith("openvino 2")
