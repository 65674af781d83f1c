"""What takes too many cases to decide is given up after a counted number of steps, and said to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.scaling import Writer, equalised, nested_where, side_by_side
from onnxgs_opt import find, optimize
from onnxgs_opt.ir import def_use
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition import matcher, proving
from onnxgs_opt.recognition.algebra.effort import MAX_EFFORT
from onnxgs_opt.recognition.algebra.piecewise import partitions
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.proving import Interpolation
from tests.fixtures.calls import calls
from tests.fixtures.spellings import Spelling, build

pytestmark = pytest.mark.usefixtures("recognised_anew")


def test_conditions_behind_conditions_are_looked_at_once_each() -> None:
    """A sampler whose x goes through 64 conditions is found: their number counts, not that of the ways through them."""
    (site,) = find(nested_where(64))
    assert (site.x.tensor, site.y.tensor) == ("Where_255", "y")


def test_what_has_too_many_cases_is_given_up() -> None:
    """Forty conditions, each of which doubles the affine functions that x may be; the steps are told."""
    writer = Writer()
    x = "x"
    for k in range(40):
        x = writer.op("Where", writer.op("Greater", x, k + 0.5), writer.op("Add", x, 2.0**-k), x)
    sample = writer.sampler("image", x, "y")
    model = writer.model({"image": [1, 1, 32, 32], "x": [1, 4, 4], "y": [1, 4, 4]}, [sample])
    seen = []
    count = calls(lambda: seen.append(optimize(model, dry_run=True)))
    assert count < 10 * MAX_EFFORT
    (miss,) = seen[0].report.near_misses
    assert (miss.code, miss.condition) == ("GSO116", "after 200000 steps it is neither proven nor refuted")


@pytest.mark.parametrize("count", [24, 60])
def test_squares_of_squares_are_given_up(count: int) -> None:
    """Of a fraction, whose powers are the weights, of a size, and of a number: each step has twice as many factors."""
    writer = Writer()
    power = writer.op("Cast", writer.op("Shape", "x", start=1, end=2), to=1)
    near = writer.op("Sub", "x", writer.op("Floor", "x"))
    for _ in range(count):
        power, near = writer.op("Mul", power, power), writer.op("Mul", near, near)
    limit = writer.op("Min", writer.op("Add", power, 31.0), 31.0)
    sample = writer.sampler("image", writer.op("Min", "x", limit), "y")
    wrong = writer.op("Mul", writer.sampler("image", writer.op("Add", "x", near), "y"), near)
    points = [1, "p", 4]
    model = writer.model({"image": [1, 1, 32, 32], "x": points, "y": points}, [sample, wrong])
    seen: list[object] = []
    assert calls(lambda: seen.append(optimize(model, dry_run=True))) < 10 * MAX_EFFORT


@pytest.mark.parametrize("count", [24, 60])
def test_squares_of_places_are_given_up(count: int) -> None:
    """Of the numbers from 0 to a size, which say where pixels are read: their bounds have twice as many digits each."""
    writer = Writer()
    place = writer.op(
        "Range", 0.0, writer.op("Squeeze", writer.op("Cast", writer.op("Shape", "x", start=1, end=2), to=1)), 1.0
    )
    for _ in range(count):
        place = writer.op("Mul", place, place)
    read = writer.op("Gather", "x", writer.op("Cast", writer.op("Min", writer.op("Floor", place), 3.0), to=7), axis=1)
    model = writer.model({"x": [1, "p", 4]}, [read])
    seen: list[object] = []
    assert calls(lambda: seen.append(optimize(model, dry_run=True))) < 10 * MAX_EFFORT


def test_tables_of_tiles_cost_what_one_costs() -> None:
    """Reads that are summed one tile after the other: no tile is looked at together with all before it."""
    each = {}
    for tiles in (3, 5):
        seen: list[object] = []
        each[tiles] = calls(lambda tiles=tiles, seen=seen: seen.extend(find(equalised(tiles)))) / tiles**2
        assert not seen
    assert each[5] < 2 * each[3]  # they would be 2.8 times as many


def test_tensors_and_scopes_are_gathered_once_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a site: how often they are does not depend on how many sites there are."""
    counts: dict[str, int] = {}

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def count(*args: object) -> object:
            counts[name] = counts.get(name, 0) + 1
            return call(*args)

        return count

    monkeypatch.setattr(Graph, "tensors", counted("tensors", Graph.tensors))
    monkeypatch.setattr(def_use, "_by_depth", counted("scopes", def_use._by_depth))
    seen = []
    for sites in (3, 9):
        counts.clear()
        assert len(optimize(side_by_side(sites, dynamic=False), measure=False).report.sites) == sites
        seen.append(dict(counts))
    assert seen[1]["tensors"] - seen[0]["tensors"] <= 2
    assert seen[1]["scopes"] == seen[0]["scopes"]


def test_regions_of_a_match_are_looked_at_by_its_proof_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first region tells the pixels; to look at all of them before the proof does cost a fifth of recognition."""
    looked: list[object] = []
    of_matches: list[int] = []
    plain = matcher._matched

    def matched(*given: Any) -> Match | Miss:
        before = len(looked)
        found = plain(*given)
        of_matches.extend([len(looked) - before] if isinstance(found, Match) else [])
        return found

    monkeypatch.setattr(matcher, "partitions", lambda *given: looked.append(given) or partitions(*given))
    monkeypatch.setattr(matcher, "_matched", matched)
    assert len(find(build(Spelling()))) == 1
    assert of_matches
    assert not any(of_matches)


def test_at_other_sizes_what_it_is_at_the_first_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim at dynamic sizes is held against sizes that differ: every border is tried at the first alone."""
    proofs: list[Interpolation] = []
    every: list[object] = []
    plain, far = proving.prove, proving._differs_far_outside
    monkeypatch.setattr(matcher, "prove", lambda *given: proofs.append(given[3]) or plain(*given))
    monkeypatch.setattr(proving, "_differs_far_outside", lambda *given: every.append(given) or far(*given))
    assert len(find(build(Spelling(dims="dynamic")))) == 1
    known = [kind for kind in proofs if kind.like is not None]
    assert known
    assert len(every) == len(proofs) - len(known)


def _lines(writer: Writer, image: str) -> str:
    """The columns of an image at the places `u`, between two of them linear."""
    low = writer.op("Floor", "u")
    part = writer.op("Sub", "u", low)
    columns = (writer.op("Min", writer.op("Max", at, 0.0), 3.0) for at in (low, writer.op("Add", low, 1.0)))
    near, far = (writer.op("Gather", image, writer.op("Cast", at, to=7), axis=3) for at in columns)
    return writer.op("Add", writer.op("Mul", near, writer.op("Sub", 1.0, part)), writer.op("Mul", far, part))


def _unlike_a_sampler(writer: Writer) -> str:
    """A bilinear sampler, one weight of which is half as much again."""
    lows = [(p, writer.op("Floor", p)) for p in ("x", "y")]
    x, y = ((low, writer.op("Sub", p, low)) for p, low in lows)
    ends = [((low, writer.op("Sub", 1.0, part)), (writer.op("Add", low, 1.0), part)) for low, part in (x, y)]
    terms = [writer.read("image", i, j, writer.op("Mul", v, u)) for j, v in ends[1] for i, u in ends[0]]
    terms[3] = writer.op("Mul", terms[3], 1.5)
    total = writer.op("Add", writer.op("Add", terms[0], terms[1]), writer.op("Add", terms[2], terms[3]))
    return writer.op("Reshape", total, np.array([1, 1, 4, 4]))


def _laid_out_anew(writer: Writer, image: str) -> str:
    tiled = writer.op("Tile", writer.op("Reshape", image, np.array([-1])), np.array([2]))
    return writer.op("Reshape", writer.op("Slice", tiled, np.array([0]), np.array([24])), np.array([1, 1, 6, 4]))


@pytest.mark.parametrize(
    ("laid_out", "rules"), [(lambda _, image: image, ["GSO003", "GSO003"]), (_laid_out_anew, ["GSO005", "GSO003"])]
)
def test_samples_of_samples_cost_what_both_cost(laid_out: Callable[[Writer, str], str], rules: list[str]) -> None:
    """Of several images that are read, none is left where the lift ends at a tensor that one of them does not make."""
    points = {"image": [1, 1, 8, 8], "x": [1, 4, 4], "y": [1, 4, 4]}
    one, other, both = Writer(), Writer(), Writer()
    alone = (
        one.model(points, [_unlike_a_sampler(one)]),
        other.model({"image": [1, 1, 6, 4], "u": [5]}, [_lines(other, "image")]),
    )
    chain = both.model({**points, "u": [5]}, [_lines(both, laid_out(both, _unlike_a_sampler(both)))])
    seen: list[str] = []
    count = calls(lambda: seen.extend(site.rule for site in optimize(chain, dry_run=True).report.sites))
    assert count < 2 * sum(calls(lambda model=model: optimize(model, dry_run=True)) for model in alone)  # not 7 times
    assert seen == rules
