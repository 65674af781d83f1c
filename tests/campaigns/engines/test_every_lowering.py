"""Engines of every lowering of every recognised sampler: one build holds several beside each other."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import ModelProto, parser

from onnxgs_opt.runtime.tensorrt import build as building
from tests.campaigns.engines import NAMES, Lowered, build, lowered, together
from tests.fixtures.prepared import prepared
from tests.fixtures.soak import ALL
from tests.fixtures.spellings import AXES, Spelling, valid
from tests.fixtures.spellings import build as spelt
from tests.fixtures.spellings.curated import curated

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed")
EXPORTS = Path(__file__).parents[2] / "fixtures/models"
OPSET = 17
OPSETS = ("ts11", "ts13", "ts17", "dy18", "dy20")
DIMS = ("static", "dynamic")
FEW = 7
"""Models beside each other in one engine: fewer start a builder more often, of more each takes longer."""
COVERED = ("policy", "coordinates", "layout", "read", "image_dtype", "flip", "points", "batch")
"""What changes the graph that a lowering writes, or the view of the image and the points that it starts from."""


def with_dims(spelling: Spelling, dims: str) -> Spelling:
    return replace(spelling, dims=dims, opset=OPSET)


@cache
def covering(dims: str, turn: int) -> tuple[Spelling, ...]:
    """Half of the field's samplers, then curated spellings until half of the values of the axes are there.

    At the other dims it is the other half of both, but for what one kind of dims alone allows.
    """
    half = (turn + DIMS.index(dims)) % 2
    fitting, others = (
        {name: with_dims(s, d) for name, s in curated().items() if valid(with_dims(s, d))} for d in (dims, other(dims))
    )
    field = [name for name in curated() if "=" not in name]
    chosen = [fitting[name] for name in field if name in fitting and (name in field[half::2] or name not in others)]
    there, elsewhere = ({(a, getattr(s, a)) for s in some.values() for a in COVERED} for some in (fitting, others))
    values = sorted(there | elsewhere, key=str)
    left = there & {*values[half::2], *(there - elsewhere)}
    while left := left - {(axis, getattr(s, axis)) for s in chosen for axis in COVERED}:
        chosen.append(max(fitting.values(), key=lambda s: sum((axis, getattr(s, axis)) in left for axis in COVERED)))
    return tuple(chosen)


def other(dims: str) -> str:
    return DIMS[1 - DIMS.index(dims)]


@cache
def samplers(dims: str, turn: int) -> dict[str, list[Lowered]]:
    """By lowering, the models of the covering set, with GridSample nodes of both alignments beside them."""
    by_name: dict[str, list[Lowered]] = defaultdict(list)
    for model in [*map(spelt, covering(dims, turn)), *grid_samples(dims)]:
        for one in lowered(model, NAMES[turn::2]):
            by_name[one.lowering].append(one)
    return by_name


def grid_samples(dims: str) -> list[ModelProto]:
    image, grid = ("2,3,9,12", "2,5,7,2") if dims == "static" else ("n,3,h,w", "n,a,b,2")
    texts = (
        f'<ir_version: 8, opset_import: ["": {OPSET}]> g (float[{image}] img, float[{grid}] grid) => (float[n,3,a,b] y)'
        f'{{ y = GridSample <align_corners = {corners}, padding_mode = "{padding}"> (img, grid) }}'
        for corners in (0, 1)
        for padding in ("zeros", "border")
    )
    return [parser.parse_model(text) for text in texts]


@pytest.mark.parametrize("turn", [0, 1])
def test_the_set_covers_what_there_is(turn: int) -> None:
    """Of every lowering at static or at dynamic sizes; `make engines` has all at both."""
    for axis in COVERED:
        there = {getattr(with_dims(s, d), axis) for s in curated().values() for d in DIMS if valid(with_dims(s, d))}
        assert {getattr(s, axis) for dims in DIMS for s in covering(dims, turn)} == there
    for axis in ("policy", "coordinates", "read", "image_dtype"):
        assert {getattr(s, axis) for dims in DIMS for s in covering(dims, turn)} == set(AXES[axis])


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("name", NAMES)
def test_every_lowering_of_every_sampler_builds(name: str, dims: str, tmp_path: Path) -> None:
    models = samplers(dims, NAMES.index(name) % 2)[name]
    if not models:
        pytest.skip(f"{name} refuses samplers of {dims} sizes")
    for start in range(0, len(models), FEW):
        built = build(together(models[start : start + FEW]), tmp_path / "all.onnx", tmp_path / "all.engine")
        assert built.path.stat().st_size > 1000
        assert [p.name for p in tmp_path.iterdir()] == ["all.engine"]


PLUGIN = "onnxgs_opt.runtime.tensorrt.python_plugin"
WORKER = "onnxgs_opt.runtime.tensorrt.worker"


@pytest.fixture(scope="module", autouse=True)
def forked_builders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Builders fork where all that they need is imported: to start one took a third of the time of a build."""
    folder = tmp_path_factory.mktemp("builder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(building._unversioned_libraries(folder)), prepend=os.pathsep)
        with prepared("tensorrt_rtx", WORKER, PLUGIN) as process:
            program = process.program(folder / "python", f"import sys; from {WORKER} import main; main(*sys.argv[3:])")
            patch.setattr(building, "sys", SimpleNamespace(executable=str(program)))
            yield


REAL = [(n, o) for k, n in enumerate(NAMES) for j, o in enumerate(OPSETS) if ALL or (k + j) % len(OPSETS) in (0, 2)]


def real(name: str, opset: str) -> list[Lowered]:
    """The exports of an exporter and opset that a lowering is tried on."""
    return exports(opset, (NAMES.index(name) + OPSETS.index(opset)) % 2)[name]


@pytest.fixture(scope="module")
def built_beside(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[str]]:
    """The lowerings that are tried on an opset, in one engine: a builder takes as long to start as to build a few."""

    @cache
    def once(opset: str) -> set[str]:
        folder = tmp_path_factory.mktemp("engines")
        models = {name: real(name, opset) for name, tried in REAL if tried == opset}
        build(together([one for each in models.values() for one in each]), folder / "all.onnx", folder / "all.engine")
        return {name for name in models if models[name]}

    return once


@pytest.mark.parametrize(("name", "opset"), REAL)
def test_every_lowering_of_real_exports_builds(name: str, opset: str, built_beside: Callable[[str], set[str]]) -> None:
    """Each lowering of the exports of two exporters and opsets, and each of these in several lowerings."""
    if not real(name, opset):
        pytest.skip(f"{name} refuses every export of {opset}")
    assert name in built_beside(opset)


@cache
def exports(opset: str, turn: int) -> dict[str, list[Lowered]]:
    """By lowering, a static and a dynamic export of one exporter and opset, of two samplers in turn."""
    by_name: dict[str, list[Lowered]] = defaultdict(list)
    for sampler, dims in (("masked_interior", turn), ("masked_interior_normalized", 1 - turn)):
        for one in lowered(onnx.load(EXPORTS / f"{sampler}.{opset}.{('st', 'dyn')[dims]}.onnx")):
            by_name[one.lowering].append(one)
    return by_name
