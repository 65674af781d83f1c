"""Check that one merged read gives what several gave: on random data and indices, element for element."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto, helper

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import EXACT
from onnxgs_opt.passes.merge_reads import MergeReads
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.runtime.memory import require_array
from onnxgs_opt.samplers.site import StructuralSite
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.boundary_values import image_values
from onnxgs_opt.validation.compare import Comparison, compare_runs
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.original import Original


def check_reads(graph: Graph, site: StructuralSite, *, seed: int = 0, runtime: Runtime | None = None) -> Comparison:
    """Compare what a site's reads make with what one merged read makes: every element has to be equal.

    The merged read runs in `runtime`, or in onnxruntime on a CPU.
    Indices are random over the whole range that the operator allows, negative ones included.
    """
    before, after = read_models(graph, site)
    return compare_runs(Original(before, runtime=runtime), after, read_runs(before, site, seed), EXACT, seed, None)


def read_models(graph: Graph, site: StructuralSite) -> tuple[ModelProto, ModelProto]:
    """Two models from a site's data and indices to the result of each read: as exported, and merged."""
    before = _reads(graph, site)
    merged = Graph.from_proto(ModelProto.FromString(before.SerializeToString()))
    MergeReads((replace(site, body=""),)).run(merged)
    merged.remove_dead()
    return before, merged.to_proto()


def _reads(graph: Graph, site: StructuralSite) -> ModelProto:
    """A model of the reads alone; data and indices are its inputs."""
    tensors = graph.at(site.body).tensors()
    indices = list(dict.fromkeys(site.indices))
    ranks = {site.data: len(site.shapes[0][0])} | {name: len(site.shapes[0][1]) for name in indices}
    dtypes = {name: tensors[name].dtype for name in indices} | {site.data: np.dtype(site.dtype)}
    inputs = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(np.dtype(dtypes[name] or np.int64)),
            [f"{name}:{axis}" for axis in range(ranks[name])],
        )
        for name in (site.data, *indices)
    ]
    nodes = [
        helper.make_node(site.read_op, [site.data, index], [result], f"read{k}", **site.written)
        for k, (index, result) in enumerate(zip(site.indices, site.results, strict=True))
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(site.dtype))
    dims = [None] * _rank(site)
    outputs = [helper.make_tensor_value_info(name, element, dims) for name in site.results]
    return helper.make_model(
        helper.make_graph(nodes, "reads", inputs, outputs),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=graph.envelope.ir_version,
    )


def _rank(site: StructuralSite) -> int:
    """The rank of what each read makes."""
    data, index = site.shapes[0]
    match site.read_op:
        case "Gather":
            return len(data) + len(index) - 1
        case "GatherND":
            return len(index) - 1 + len(data) - site.stack - index[-1]
        case _:
            return len(index)


def read_runs(model: ModelProto, site: StructuralSite, seed: int) -> Iterator[Run]:
    """Inputs for both of `read_models`, at each of the sizes that the site was analysed at."""
    rng = np.random.default_rng(seed)
    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in model.graph.input
    }
    for data_shape, index_shape in dict.fromkeys(site.shapes):
        require_array(index_shape)
        feeds = {site.data: image_values(data_shape, rng, types[site.data])}
        for name in site.indices:
            feeds[name] = _indices(site, data_shape, index_shape, rng).astype(types[name])
        yield Run(feeds)


def _indices(site: StructuralSite, data_shape: Sequence[int], shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Numbers from -S to S-1, S being the size of the axis that they index; 0 where that is 0, and nothing is read."""
    ((name, axis),) = site.attributes
    sizes = np.array(data_shape[axis : axis + (1 if name == "axis" else shape[-1])])
    return rng.integers(-sizes, np.maximum(sizes, 1), shape)
