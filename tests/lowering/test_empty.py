"""No points, no batch, one of each: every lowering gives what the model gives."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition import KINDS
from tests.fixtures.size_limits import Limits

USUAL = {"N": 2, "C": 3, "H": 4, "W": 5, "P": 6, "Q": 7}
SIZES = [USUAL | {name: size} for name in "NCPQ" for size in (0, 1)] + [USUAL | {"P": 1, "Q": 1}]


def results(model: bytes, sizes: dict[str, int]) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model, options)
    rng = np.random.default_rng(0)
    feed = {i.name: rng.uniform(-2, 6, [sizes[d] for d in i.shape]).astype(np.float32) for i in session.get_inputs()}
    return session.run(None, feed)[0]


@pytest.mark.parametrize("name", [name for name in LOWERINGS if name != "keep"])
def test_empty_and_single_axes_give_what_the_model_gives(name: str) -> None:
    model = Limits().model()
    graph, found = look(Graph.from_proto(model))
    (site,) = found.samplers
    if name in KINDS[site.kind].refusals(site, Target(graph.opset, "ort-cpu")):
        pytest.skip("the sampler cannot be written so")
    lowered = lower(graph, found.sites, {site.id: name}).to_proto().SerializeToString()
    for sizes in SIZES:
        if name == "lerp-gather" and not sizes["Q"]:
            continue  # its Reshape would take the 0 for "as before" on an axis that it has not
        expected, got = (results(m, sizes) for m in (model.SerializeToString(), lowered))
        assert got.shape == expected.shape, sizes
        np.testing.assert_allclose(got, expected, atol=1e-4)
