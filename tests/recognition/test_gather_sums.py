"""Sums of reads that are no sampler: which reads become one, that every element stays, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from onnxgs_opt import optimize
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import CANONICALISE
from onnxgs_opt.passes.merge_reads import MergeReads
from onnxgs_opt.recognition.findings import survey
from onnxgs_opt.recognition.gather_sums import structural_sites
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.report.model import Report
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.site import StructuralSite
from onnxgs_opt.validation.check_gather_sum import check_reads
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.spellings import feeds as sampler_feeds
from tests.fixtures.spellings.check import run as run_all
from tests.fixtures.spellings.generate import spellings

READS = ("Gather", "GatherElements", "GatherND")


class Sum:
    """Writes a weighted sum of reads: `taps` are the corner offsets of each, of one dimension or more."""

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.counts: dict[str, int] = {}

    def const(self, value: Any) -> str:
        name = f"const{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        self.counts[op_type] = self.counts.get(op_type, 0) + 1
        name = f"{op_type}{self.counts[op_type]}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def corner(self, p: str, offset: int, size: int) -> tuple[str, str]:
        """Pixel floor(p) + offset kept in the axis, as int64, and its tent weight."""
        corner = self.op("Add", self.op("Floor", p), self.const(np.float32(offset)))
        distance = self.op("Abs", self.op("Sub", p, corner))
        weight = self.op("Max", self.op("Sub", self.const(np.float32(2)), distance), self.const(np.float32(0)))
        inside = self.op("Clip", corner, self.const(np.float32(0)), self.const(np.float32(size - 1)))
        return self.op("Cast", inside, to=TensorProto.INT64), weight

    def model(self, total: str, inputs: dict[str, list[int | str]], rank: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [total], ["out"], "last")],
            "sum",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n, dims in inputs.items()],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * rank)],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


SIZES = (5, 6, 7)


def kernel(rank: int, offsets: range, read: str, opset: int = 17, copies: bool = False) -> onnx.ModelProto:
    """A separable kernel over `rank` axes, a read for each of its points; `copies`: each read has its own layout."""
    build = Sum(opset)
    axes = [[build.corner(f"p{axis}", k, SIZES[axis]) for k in offsets] for axis in range(rank)]
    total = ""
    for corners in product(*axes):
        weight = corners[0][1]
        for _, factor in corners[1:]:
            weight = build.op("Mul", weight, factor)
        value = _read(build, read, [index for index, _ in corners], copies)
        part = build.op("Mul", value, weight)
        total = part if not total else build.op("Add", total, part)
    sizes = SIZES[:rank]
    image: list[int | str] = [int(np.prod(sizes))] if read != "GatherND" else list(sizes)
    return build.model(total, {"image": image, **{f"p{axis}": ["n"] for axis in range(rank)}}, 1)


def _read(build: Sum, read: str, index: list[str], copies: bool) -> str:
    rank = len(index)
    if read == "GatherND":
        axes = build.const(np.array([1]))
        return build.op(
            "GatherND", "image", build.op("Concat", *(build.op("Unsqueeze", i, axes) for i in index), axis=1)
        )
    linear = index[0]
    for axis in range(1, rank):
        linear = build.op("Add", build.op("Mul", linear, build.const(np.int64(SIZES[axis]))), index[axis])
    image = "image"
    if copies:
        image = build.op("Reshape", image, build.const(np.array([-1, 1])))
        image = build.op("Reshape", image, build.op("Shape", image))  # its size is computed anew for each read
        image = build.op("Reshape", image, build.const(np.array([-1])))
    return build.op(read, image, linear, axis=-1 if read == "GatherElements" else 0)


def feeds(model: onnx.ModelProto, count: int = 50) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    found = {}
    for value in model.graph.input:
        dims = [d.dim_value or count for d in value.type.tensor_type.shape.dim]
        found[value.name] = rng.uniform(-3, 9, dims).astype(np.float32)
    return found


def run(model: onnx.ModelProto, inputs: dict[str, Any]) -> Any:
    return open_session(model, threads=1).run(None, inputs)[0]


def sums_in(graph: Graph) -> list[StructuralSite]:
    """The sums of reads, whatever else holds these."""
    scope = Scope.at(graph, {})
    return structural_sites(scope, SizeSets(scope))


def merged(model: onnx.ModelProto) -> tuple[onnx.ModelProto, StructuralSite]:
    """The model with its one read sum merged; its outputs have the same bits. No sampler is looked for."""
    graph = Graph.from_proto(onnx.ModelProto.FromString(model.SerializeToString()))
    CANONICALISE.run(graph)
    [found] = sums_in(graph)
    site = replace(found, id="site0")
    comparison = check_reads(graph, site)
    assert (comparison.status, comparison.max_abs) == ("ok", 0)
    assert MergeReads((site,)).run(graph)
    assert not MergeReads((site,)).run(graph)
    graph.remove_dead()
    after = graph.to_proto()
    onnx.checker.check_model(after, full_check=True)
    inputs = feeds(model)
    np.testing.assert_array_equal(run(model, inputs), run(after, inputs))
    return after, site


def optimised(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Report]:
    """The same by the whole pipeline."""
    result = optimize(model, lowering="merged-gather")
    inputs = feeds(model)
    np.testing.assert_array_equal(run(model, inputs), run(result.model, inputs))
    onnx.checker.check_model(result.model, full_check=True)
    return result.model, result.report


def reads(model: onnx.ModelProto) -> int:
    return sum(node.op_type in READS for node in model.graph.node)


SPELLINGS = {
    "linear": (1, range(2)),
    "cubic": (1, range(-1, 3)),
    "trilinear": (3, range(2)),
    "bicubic": (2, range(-1, 3)),
}


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", SPELLINGS)
def test_all_reads_of_a_sum_become_one(name: str, read: str, opset: int) -> None:
    rank, offsets = SPELLINGS[name]
    taps = len(offsets) ** rank
    after, site = merged(kernel(rank, offsets, read, opset))
    assert (site.rule, site.read_op, len(site.reads), len(set(site.indices))) == ("GSO003", read, taps, taps)
    assert reads(after) == 1


@pytest.mark.parametrize("name", ["linear", "trilinear"])
def test_the_report_of_a_merge(name: str) -> None:
    taps = 2 ** SPELLINGS[name][0]
    after, report = optimised(kernel(*SPELLINGS[name], "Gather"))
    [site] = report.sites
    assert (site.rule, site.policy.kind, site.read_op, len(site.reads)) == ("GSO003", "structural", "Gather", taps)
    assert (site.lowering, site.error.max_abs, report.validation.max_abs) == ("merged-gather", 0, 0)
    assert (report.reads.before, report.reads.after, reads(after)) == (taps, 1, 1)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_layout_repeated_for_each_read_is_one_tensor(name: str) -> None:
    after, _ = merged(kernel(*SPELLINGS[name], "Gather", copies=True))
    assert reads(after) == 1


def test_auto_keeps_it_and_says_why_it_is_no_sampler() -> None:
    report = optimize(kernel(1, range(2), "Gather")).report
    [site] = report.sites
    assert (report.status, site.lowering) == ("nothing-to-do", "keep")
    assert set(site.refusals) >= {"grid-sample", "plugin"}
    [miss] = report.near_misses
    told = "where 0 <= x < 4, the pixel (floor(x)) counts 2 - u, and would have to count 3*(1-u)"
    assert (miss.code, miss.condition) == (
        "GSO101",
        f"it is like linear sampling of 'image' (x from 'p0'), but at 'Gather1', {told}",
    )


def test_the_merged_model_has_nothing_more_to_merge() -> None:
    after, _ = optimised(kernel(1, range(2), "Gather"))
    assert optimize(after, lowering="merged-gather").report.sites == ()


@pytest.mark.parametrize("read", READS)
def test_an_opset_11_model_is_merged_with_its_own_operators(read: str) -> None:
    build = Sum(11)
    indices = [build.corner("p0", k, SIZES[0])[0] for k in range(2)]
    if read == "GatherND":
        values = [build.op(read, "image", build.op("Unsqueeze", index, axes=[1])) for index in indices]
    else:
        values = [build.op(read, "image", index, axis=0) for index in indices]
    merged(build.model(build.op("Add", *values), {"image": [SIZES[0]], "p0": ["n"]}, 1))


def test_a_table_of_positions_in_the_file_is_joined_in_the_file() -> None:
    build = Sum()
    tables = [build.const(np.random.default_rng(k).integers(-6, 6, (5, 7))) for k in range(3)]
    values = [build.op("Gather", "image", table, axis=1) for table in tables]
    model = build.model(build.op("Sum", *values), {"image": ["n", 6]}, 3)
    after, report = optimised(model)
    assert len(report.sites[0].reads) == 3
    assert [node.op_type for node in after.graph.node] == ["Gather", "Split", "Sum"]
    [index] = [t for t in after.graph.initializer if t.data_type == TensorProto.INT64]
    assert tuple(index.dims) == (15, 7)
    assert [miss.code for miss in report.near_misses] == ["GSO111"]


def sums(text: str) -> Any:
    graph = Graph.from_proto(parser.parse_model(text))
    CANONICALISE.run(graph)
    return graph, survey(graph).sums


HEAD = '<ir_version: 8, opset_import: ["": 17]> g '


@pytest.mark.parametrize(
    ("positions", "code"),
    [
        ("i = Sub (h, j)", "GSO111"),
        ("r = RandomUniformLike <dtype = 1> (j) i = Cast <to = 7> (r)", "GSO114"),
    ],
)
def test_fixed_is_what_constants_and_sizes_decide(positions: str, code: str) -> None:
    """Random positions depend on no input and are not fixed: nothing keeps them inside the image."""
    head = HEAD + "(float[h, w] image) => (float[n, w] out) <int64 one = {1}>"
    body = "s = Shape <start = 0, end = 1> (image) h = Squeeze (s) j = Range (one, h, one)"
    body = f"{body} {positions} a = Gather (image, i) b = Gather (image, j) out = Add (a, b)"
    graph = Graph.from_proto(parser.parse_model(f"{head} {{ {body} }}"))
    CANONICALISE.run(graph)
    assert [miss.code for miss in survey(graph).near_misses] == [code]


def test_batched_reads_merge_behind_their_batch_dims() -> None:
    graph, [site] = sums(
        HEAD + "(float[2, 5, 6, 4] image, int64[2, n, 2] i, int64[2, n, 2] j) => (float[2, n, 4] out)"
        "{ a = GatherND <batch_dims = 1> (image, i) b = GatherND <batch_dims = 1> (image, j) out = Add(a, b) }"
    )
    assert (site.attributes, site.stack, site.part) == ((("batch_dims", 1),), 1, 1)
    assert check_reads(graph, site).status == "ok"
    MergeReads((site,)).run(graph)
    graph.remove_dead()
    assert sorted(node.op for node in graph.nodes) == ["Add", "Concat", "GatherND", "Split"]


def test_reads_of_an_inner_axis_split_there() -> None:
    graph, [site] = sums(
        HEAD + "(float[2, 9, 4] image, int64[n, 3] i, int64[n, 3] j) => (float[2, n, 3, 4] out)"
        "{ a = Gather <axis = -2> (image, i) b = Gather <axis = 1> (image, j) out = Sub(a, b) }"
    )
    assert (site.attributes, site.stack, site.part) == ((("axis", 1),), 0, 1)
    assert check_reads(graph, site).max_abs == 0


@pytest.mark.parametrize(
    "body",
    [
        "{ a = Gather(image, i) b = Gather(other, j) out = Add(a, b) }",
        "{ a = Gather(image, i) c = Cast <to = 7> (a) b = Gather(image, c) out = Add(a, b) }",
        "{ a = Gather(image, i) out = Add(a, a) }",
        "{ a = Gather(image, i) b = Gather(image, j) out = Concat <axis = 0> (a, b) }",
        "{ a = Gather(image, i) k = Unsqueeze(j, one) b = Gather(image, k) out = Add(a, b) }",
        "{ a = Gather(image, i) b = GatherElements(image, j) out = Add(a, b) }",
    ],
    ids=["two images", "one needs the other", "one read", "no sum", "two shapes", "two operators"],
)
def test_what_cannot_be_one_read_is_left_alone(body: str) -> None:
    _, found = sums(
        HEAD
        + f"(float[9] image, float[9] other, int64[n] i, int64[n] j) => (float[m] out) <int64[1] one = {{1}}> {body}"
    )
    assert found == ()


def test_a_read_that_others_need_too_keeps_its_value() -> None:
    text = HEAD + (
        "(float[9, 3] image, int64[n] i, int64[n] j) => (float[n, 3] out, float[n, 3] first)"
        "{ first = Gather(image, i) second = Gather(image, j) out = Add(first, second) }"
    )
    model = parser.parse_model(text)
    result = optimize(parser.parse_model(text), lowering="merged-gather")
    assert [value.name for value in result.model.graph.output] == ["out", "first"]
    inputs = {"image": np.random.default_rng(0).random((9, 3), np.float32)}
    inputs |= {name: np.array([-9, 8, 0, 3]) for name in "ij"}
    np.testing.assert_array_equal(run(model, inputs), run(result.model, inputs))
    assert reads(result.model) == 1


def test_a_merge_that_changes_an_element_is_found() -> None:
    """The check itself: with the parts in another order it must fail."""
    graph, [site] = sums(
        HEAD + "(float[9, 4] image, int64[n] i, int64[n] j) => (float[n, 4] out)"
        "{ a = Gather(image, i) b = Gather(image, j) out = Add(a, b) }"
    )

    class Swapped(MergeReads):
        def run(self, graph: Graph) -> Any:
            done = super().run(graph)
            [split] = [node for node in graph.nodes if node.op == "Split"]
            list.reverse(split.outputs)
            return done

    import onnxgs_opt.validation.check_gather_sum as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MergeReads", Swapped)
        assert check_reads(graph, site).status == "mismatch"


OUTSIDE = ("other-period",)
"""Mutants that read past the end of the image: they have no result that could stay the same."""


def test_wrong_samplers_of_every_spelling_merge_exactly() -> None:
    """What no policy was proven of is where merges happen: mutants of random spellings, layouts and opsets."""
    merges = 0
    for number, spelling in enumerate(islice(spellings(seed=31), 40)):
        fitting = [mutant for mutant in MUTANTS if mutant.fits(spelling) and mutant.name not in OUTSIDE]
        model = fitting[number % len(fitting)].build(spelling)
        graph = Graph.from_proto(onnx.ModelProto.FromString(model.SerializeToString()))
        CANONICALISE.run(graph)
        sites = [replace(site, id=f"site{k}") for k, site in enumerate(sums_in(graph))]
        assert all(check_reads(graph, site).status == "ok" for site in sites)
        MergeReads(tuple(sites)).run(graph)
        graph.remove_dead()
        inputs = sampler_feeds(model, spelling)
        for before, after in zip(run_all(model, inputs), run_all(graph.to_proto(), inputs), strict=True):
            np.testing.assert_array_equal(before, after, err_msg=str(spelling))
        merges += len(sites)
    assert merges >= 40
