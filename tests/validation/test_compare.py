"""What is said of two results: how far they are apart, where, and what the original's own errors allow for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf, isnan
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, parser

from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.runtime.memory import TooLargeError
from onnxgs_opt.runtime.ort import OnnxRuntime, open_session
from onnxgs_opt.validation.check import check_model
from onnxgs_opt.validation.compare import BROKEN, Comparison, _apart, _farther, _moved, compare, compare_runs, gaps
from onnxgs_opt.validation.inputs import ModelInputs, Run
from onnxgs_opt.validation.moved import Moved
from onnxgs_opt.validation.original import Original
from tests.lowering.samplers import Case, site_of
from tests.validation.test_elsewhere import Halves

F32 = np.float32
TIGHT = Tolerance(1e-6, 1e-6, "test")
WIDE = Tolerance(0.5, 1, "test")


def told(a: Sequence[Any], b: Sequence[Any], tolerance: Tolerance = WIDE, slack: Any = None) -> tuple[Any, ...]:
    found = compare(np.asarray(a), np.asarray(b), tolerance, slack)
    return found.within, found.max_abs, found.max_rel, found.index, found.expected, found.actual


def test_the_largest_differences_are_told_and_where() -> None:
    """By the tolerance the worst is not where the numbers are largest."""
    assert told([8.0, -2.0, 0.0], [4.0, -3.5, 0.75]) == (True, 4.0, 75.0, (2,), 0.0, 0.75)
    assert told([8.0, -2.0, 0.5], [4.0, -4.5, 0.5]) == (False, 4.0, 1.25, (1,), -2.0, -4.5)
    assert told([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 8.0]]) == (False, 4.0, 1.0, (1, 1), 4.0, 8.0)
    assert told([True, False], [True, True], TIGHT) == (False, 1.0, 100.0, (1,), 0.0, 1.0)


def test_what_is_expected_may_itself_be_off() -> None:
    assert told([1.0, 1.0], [1.0, 4.0], TIGHT)[0] is False
    assert told([1.0, 1.0], [1.0, 4.0], TIGHT, np.array([0.0, 3.0]))[0] is True
    assert told([1.0, 1.0], [4.0, 1.0], TIGHT, np.array([0.0, 3.0]))[:1] == (False,)


def test_whole_numbers_are_equal_but_for_what_allows_for_others() -> None:
    """Of a million, ten are no rounding: it may be a name. What a user allows for absolutely is allowed for."""
    names, one, nine = np.array([10**6, 2**53]), np.array([0, 1]), np.array([9, 0])
    rough = Tolerance(1e-5, 1e-5, "test")
    assert told(names, names + one, rough)[:2] == (False, 1.0)
    assert told(names, names + nine, rough)[:2] == (False, 9.0)
    assert told(names, names + nine, Tolerance(0, 9, "test"))[0] is True
    assert told(names, names + nine, rough, np.array([1.0, 0.0]))[0] is True
    assert told(names.astype(np.float64), names + 9.0, rough)[0] is True
    assert told([1 + 1j], [1 + 2j], rough)[0] is False


def test_under_a_strict_tolerance_the_original_may_be_as_wrong_as_it_is() -> None:
    steps = "big = Constant<value_float=65536.0>() s = Add(a, big) out = Sub(s, big)"
    inputs, none = ModelInputs({"a": np.full(3, 1 / 512, F32)}), Tolerance(0, 0, "test", strict=True)
    assert check_model(model(steps), SAME, inputs, replace(none, strict=False)).status == "ok"
    assert check_model(model(steps), SAME, inputs, none).status == "mismatch"
    assert check_model(model(steps), model(steps), inputs, none).status == "ok"


def test_infinite_pixels_allow_for_nothing_beside_them() -> None:
    found = compare(np.array([inf, 1.0]), np.array([inf, 1.0]), TIGHT)
    assert (found.within, found.max_abs, found.max_rel) == (True, 0.0, 0.0)
    assert told([inf, 1.0], [-inf, 1.0], WIDE)[:2] == (False, inf)


@pytest.mark.parametrize(
    "other", [np.zeros((2, 1), F32), np.zeros(1, F32), np.zeros(2, np.float64)], ids=["rank", "size", "type"]
)
def test_another_shape_or_type_is_infinitely_far(other: Any) -> None:
    for pair in ((np.zeros(2, F32), other), (other, np.zeros(2, F32))):
        found = compare(*pair, WIDE)
        assert (found.within, found.max_abs, found.max_rel, found.index) == (False, inf, inf, ())
        assert isnan(found.expected)
        assert isnan(found.actual)
    twice = compared(model("out = Concat<axis=0>(a, a)"), [Run({"a": np.ones(3, F32)})])
    assert (twice.status, twice.worst) == ("mismatch", "'out' has another shape or type")
    infinite = compared(times(inf), [Run({"a": np.ones(3, F32)})])
    assert (infinite.status, infinite.worst) == ("mismatch", "'out'[0] is inf instead of 1")


def test_nothing_and_words_are_equal_or_are_not() -> None:
    assert told(np.zeros((0, 3)), np.zeros((0, 3)), TIGHT) == (True, 0.0, 0.0, (), 0.0, 0.0)
    assert told(["a", "b"], ["a", "b"], TIGHT) == (True, 0.0, 0.0, (), 0.0, 0.0)
    assert told([["a", "b"]], [["a", "c"]], TIGHT)[:4] == (False, inf, inf, (0, 1))


def test_words_that_differ_are_a_mismatch() -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (string[1] a) => (string[1] out) {{ out = {} }}'
    before, after = (parser.parse_model(text.format(op)) for op in ("Identity(a)", 'Constant<value_strings=["b"]>()'))
    for word, status in (("a", "mismatch"), ("b", "ok")):
        found = compared(after, [Run({"a": np.array([word], object)})], before)
        assert (found.status, found.max_abs) == (status, inf if status == "mismatch" else 0)


def test_gaps_by_element() -> None:
    a = np.array([1.0, np.nan, np.nan, inf, inf, inf, 0.5], F32)
    b = np.array([3.5, np.nan, 0.0, inf, -inf, 1.0, 0.5], F32)
    assert gaps(a, b).tolist() == [2.5, 0.0, inf, 0.0, inf, inf, 0.0]
    assert gaps(np.float32(1), np.float32(4)) == 3


def model(body: str, inputs: str = "float[3] a") -> ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => (float[3] out) {{ {body} }}')


SAME = model("out = Identity(a)")
WHERE = "out = Where(c, a, a)"
THREE = ModelInputs({"a": np.array([3.0, 0.25, -7.0], F32)})


def times(factor: float, plus: float = 0.0) -> ModelProto:
    numbers = f"k = Constant<value_float={float(factor)}>() p = Constant<value_float={float(plus)}>()"
    return model(f"{numbers} m = Mul(a, k) out = Add(m, p)")


def test_what_cancels_in_the_original_may_differ_by_twice_its_own_error() -> None:
    """(a + 65536) - 65536 keeps 1/128 of a, so that the original is off by 1/512 at most here."""
    steps = "big = Constant<value_float=65536.0>() s = Add(a, big) out = Sub(s, big)"
    inputs = ModelInputs({"a": np.array([1 / 512, 1 / 512, 0.0], F32)})
    found = check_model(model(steps), SAME, inputs, TIGHT)
    assert (found.status, found.max_abs, found.from_double) == ("ok", 1 / 512, (1 / 512, 0.0))
    both = "float[3] a, bool[3] c"
    before, after = (model(text, both) for text in (steps.replace("out =", "d =") + " out = Where(c, d, a)", WHERE))
    inputs = replace(inputs, given={**(inputs.given or {}), "c": np.ones(3, np.bool_)})
    assert check_model(before, after, inputs, TIGHT) == replace(found, shapes=(((3,), (3,)),))
    for more, status in ((1 / 600, "ok"), (1 / 400, "mismatch")):
        worse = check_model(model(steps), times(1, more), replace(inputs, given={"a": np.full(3, 1 / 512, F32)}), TIGHT)
        assert worse.status == status
        assert worse.from_double == pytest.approx((1 / 512, more), rel=1e-3)


@pytest.mark.parametrize(("plus", "status"), [(0.0108, "ok"), (0.0118, "mismatch"), (-0.0108, "ok")])
def test_a_chain_may_carry_an_error_as_far_as_it_carries_its_inputs(plus: float, status: str) -> None:
    """1024 a, where a = 3 is moved by 1e-6 + 3e-6, moves by 0.0041; twice that may differ, beside 0.0031 of itself."""
    inputs = ModelInputs({"a": np.full(3, 3.0, F32)})
    carried = replace(TIGHT, carried=1e-6)
    assert check_model(times(1024), times(1024, plus), inputs, carried).status == status
    assert check_model(times(1024), times(1024, plus), inputs, TIGHT).status == "mismatch"


@pytest.mark.parametrize(("plus", "status"), [(0.004, "ok"), (0.5, "mismatch")])
def test_what_halves_round_off_may_differ_twice(plus: float, status: str) -> None:
    """Where m = 3 may be off by 0.001 + 0.003."""
    moved = {"m": Moved(Tolerance(1e-3, 1e-3, "test"))}
    inputs = ModelInputs({"a": np.full(3, 3.0, F32)})
    assert check_model(times(1), times(1, plus), inputs, TIGHT, moved=moved).status == status


LAYER = """mean = ReduceMean<axes=[-1]>(a) d = Sub(a, mean) two = Constant<value_float=2.0>() q = Pow(d, two)
 v = ReduceMean<axes=[-1]>(q) e = Constant<value_float=1e-5>() w = Add(v, e) s = Sqrt(w) n = Div(d, s)
 g = Constant<value_floats=[0.3, 0.7, 1.9]>() m = Mul(n, g) h = Constant<value_floats=[0.1, 0.2, 0.3]>() out = Add(m, h)
"""


def test_what_onnxruntime_makes_of_the_original_is_no_fault_of_the_result() -> None:
    """It fuses a normalisation, which then rounds otherwise: the same model differs from its own reference."""
    inputs = np.random.default_rng(0).standard_normal((20, 3)).astype(F32) * 100
    runs = [Run({"a": row}) for row in inputs]
    layer, none = model(LAYER), Tolerance(0, 0, "")
    reference, fused = (open_session(layer, optimise=optimise) for optimise in (False, True))
    assert any((reference.run(None, run.feeds)[0] != fused.run(None, run.feeds)[0]).any() for run in runs)
    found = compare_runs(Original(layer), layer, runs, none, 0, None)
    assert (found.status, found.max_abs) == ("ok", 0)
    moved = model(LAYER.replace("Add(m, h)", "Add(h, m)").replace("0.3]", "0.300001]"))
    assert compare_runs(Original(layer), moved, runs, none, 0, None).status == "mismatch"


def test_elsewhere_the_difference_from_the_reference_is_told_all_the_same() -> None:
    """That runtime rounds what it multiplies to halves, in the original too."""
    halves, run = Halves("halves", where="Mul"), Run({"a": np.array([1.0, 1.001, 1.0], F32)})
    found = compared(times(1.5), [run], times(1.5), runtime=halves)
    assert (found.status, found.runtime) == ("ok", "halves")
    assert found.max_abs == pytest.approx(1.5 * (1.001 - float(np.float16(1.001))), rel=1e-2)
    assert compared(times(1.25), [run], times(1.5), runtime=halves).status == "mismatch"


def test_inputs_are_moved_up_and_down_by_as_much_as_is_said() -> None:
    value = np.repeat(np.array([-4.0, 0.0, 2.0]), 40)
    moved = _moved(value, 0.5, np.random.default_rng(3)) - value
    assert np.abs(moved).tolist() == np.repeat([2.5, 0.5, 1.5], 40).tolist()
    assert 20 < (moved > 0).sum() < 100
    assert _moved(value.astype(F32), 0.5, np.random.default_rng(3)).dtype == F32
    assert _moved(np.arange(3), 0.5, np.random.default_rng(3)).tolist() == [0, 1, 2]


def compared(after: ModelProto, runs: Iterable[Run], before: ModelProto = SAME, **told: Any) -> Comparison:
    return compare_runs(Original(before, **told), after, runs, lambda run: TIGHT, 5, None)


def test_of_several_outputs_the_farthest_from_double_precision_are_told() -> None:
    assert _farther((1, 5), (3, 2)) == (3, 5)
    assert _farther((3, 5), (1, 2)) == (3, 5)
    assert (_farther(None, (1, 2)), _farther((1, 2), None), _farther(None, None)) == ((1, 2), (1, 2), None)


def test_runs_are_added_up() -> None:
    runs = [Run({"a": np.array(values, F32)}) for values in ([0, 0, 0], [1, 4, 2], [1, 1, 1])]
    found = compared(times(1.5), runs)
    assert (found.status, found.max_abs, found.max_rel, found.shapes) == ("mismatch", 2.0, 0.5, (((3,),),))
    assert (found.worst, found.seed) == ("'out'[1] is 6 instead of 4", 5)
    later = compared(times(1, 1e-7), [Run({"a": np.ones(3, F32)}), Run({"a": np.zeros(3, F32)})])
    assert (later.status, later.worst) == ("ok", "'out'[0] is 1.0000001 instead of 1")


def test_a_small_difference_that_is_too_much_is_named_before_a_larger_one_that_is_not() -> None:
    """1000 is off by 1, 1 by 1/1000."""
    runs = [Run({"a": np.full(3, size, F32)}) for size in (1000, 1)]
    allowed = [Tolerance(0, 1e-2, ""), Tolerance(0, 1e-5, "")]
    said = compare_runs(Original(SAME), times(1.001, 0), runs, lambda run: allowed[run is runs[1]], 0, None)
    assert (said.status, said.worst) == ("mismatch", "'out'[0] is 1001 instead of 1000")
    quiet = [Tolerance(0, 2, ""), Tolerance(0, 1e-5, "")]
    said = compare_runs(Original(SAME), times(1.001, 0), runs, lambda run: quiet[run is runs[1]], 0, None)
    assert (said.status, said.worst) == ("mismatch", "'out'[0] is 1.001 instead of 1")


def test_nothing_is_said_where_nothing_was_run() -> None:
    assert compared(SAME, []) == Comparison("not-run", seed=5, worst="no inputs were tried")
    none = model("s = Constant<value_ints=[4]>() out = Reshape(a, s)")
    found = compared(SAME, [Run(THREE.given or {})] * 2, none)
    assert (found.status, found.shapes) == ("not-run", ())
    assert found.worst.startswith("the original does not run at a 3: ")
    broken = compared(none, [Run(THREE.given or {})])
    assert (broken.status, broken.max_abs) == ("mismatch", inf)
    assert broken.worst.startswith(f"{BROKEN}run at a 3: ")
    elsewhere = compared(none, [Run(THREE.given or {})], runtime=OnnxRuntime("ort-cpu"))
    assert elsewhere.worst.startswith(f"{BROKEN}run on ort-cpu at a 3: ")
    assert elsewhere.runtime == "ort-cpu"


def test_what_the_original_runs_on_counts() -> None:
    """It fails at index 7: what is nearer is taken, and without that what the other inputs showed stays."""
    gather = "i = Cast<to=7>(a) t = Constant<value_floats=[1.0, 2.0, 4.0]>() out = Gather(t, i)"
    before, after = model(gather), model(gather.replace("4.0", "4.5"))
    far, near = (Run({"a": np.array(values, F32)}) for values in ([0, 0, 7], [0, 0, 2]))
    assert compared(after, [far], before).status == "not-run"
    assert compared(after, [replace(far, nearer=lambda: near)], before).max_abs == 0.5
    known = compared(after, [near, far], before)
    assert (known.status, known.max_abs) == ("mismatch", 0.5)


def test_sizes_of_which_nothing_is_claimed_are_noted_and_no_fault() -> None:
    inputs = {"a": np.ones(3, F32)}
    runs = [Run(inputs), Run(inputs, beyond="one row"), Run(inputs, beyond="no points")]
    same, other = compared(SAME, runs), compared(times(2), runs[1:])
    assert (same.status, same.beyond) == ("ok", ())
    assert (other.status, other.beyond, other.shapes) == ("not-run", ("one row", "no points"), ())
    none = model("s = Constant<value_ints=[4]>() out = Reshape(a, s)")
    assert compared(none, runs[1:2]).beyond == ("one row",)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (1.0, 2.0, "2 instead of 1"),
        (1.0, 1 + 2**-23, "1.0000001 instead of 1"),
        (0.1, 0.1 + 2**-27, "0.10000001 instead of 0.1"),
        (1e6, 1000000.5, "1000000.5 instead of 1000000"),
        (2.0, 1.23456, "1.23456 instead of 2"),
    ],
)
def test_numbers_have_as_many_digits_as_tell_them_apart(a: float, b: float, words: str) -> None:
    found = compared(times(0, b), [Run({"a": np.ones(3, F32)})], times(0, a))
    assert found.worst == f"'out'[0] is {words}"
    assert _apart(1 + 2**-52, 1.0) == "1.0000000000000002 instead of 1"


@pytest.mark.parametrize(("items", "item"), [(2, 1), (2, 0), (1, 1)])
def test_a_point_is_named_by_its_coordinates(items: int, item: int) -> None:
    """An output [N, C, Ho, Wo] differs at row 2, column 3, whose point is x = 4.5, y = 7; one grid may serve all."""
    site = site_of(Case(batch=2, channels=2, image=(9, 6), samples=(3, 4), rows_and_columns=True))
    x, y = (np.zeros((items, 3, 4), F32) for _ in "xy")
    place = min(item, items - 1), 2, 3
    x[place], y[place] = 4.5, 7
    a = np.zeros((2, 2, 3, 4), F32)
    a[item, 0, 2, 3] = 1
    inputs = "float[2, 2, 3, 4] a, float[i, 3, 4] x, float[i, 3, 4] y"
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => (float[2, 2, 3, 4] out) {{ out = '
    before, after = (parser.parse_model(text + f"{op}(a) }}") for op in ("Identity", "Neg"))
    run = Run({"a": a, "x": x, "y": y}, (x, y), (9, 6))
    found = compare_runs(Original(before), after, [run], TIGHT, 0, site)
    assert found.worst == "-1 instead of 1 at x = 4.5 (inside), y = H-2 exactly"
    assert [points.error.sum() for points in found.points] == [2] * (items - 1)
    assert found == replace(found, points=()), "evidence is not what came of it"
    assert compare_runs(Original(before), after, [run], TIGHT, 0, None).points == ()


def test_a_run_that_would_be_too_large_ends_the_check() -> None:
    """What was seen before it stays."""

    def runs(before: int) -> Iterator[Run]:
        yield from [Run({"a": np.ones(3, F32)})] * before
        raise TooLargeError("too large")

    assert compared(SAME, runs(0)) == Comparison("not-run", seed=5, worst="too large")
    assert (compared(SAME, runs(1)).status, compared(times(2), runs(1)).status) == ("ok", "mismatch")
