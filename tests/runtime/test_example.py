"""The runtime that docs/writing-a-runtime.md shows: it has what is asked for, and it runs."""

from __future__ import annotations

from inspect import isfunction, signature
from typing import get_type_hints

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt.runtime import Quirk, Runtime
from tests.runtime.reference_runtime import Reference

REFERENCE: Runtime = Reference()
ASKED = {name: member for name, member in vars(Runtime).items() if not name.startswith("_")}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_a_runtime(name: str) -> None:
    assert hasattr(REFERENCE, name)
    asked = ASKED[name]
    if not isfunction(asked):
        assert get_type_hints(Reference)[name] == get_type_hints(asked.fget)["return"]
        return
    own = getattr(Reference, name)
    assert list(signature(own).parameters) == list(signature(asked).parameters)


def test_it_runs() -> None:
    assert REFERENCE.quirks <= frozenset(Quirk)
    assert REFERENCE.unavailable() is None
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[2] a) => (float[2] b) { b = Add (a, a) }'
    feeds = {"a": np.array([1, 2], np.float32)}
    np.testing.assert_array_equal(REFERENCE.prepare(parser.parse_model(text), feeds)(), [[2, 4]])
