"""What runtimes lack, by their names behind `--avoid`: the table is of ONNX's operators, and lowerings refuse by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx.defs import get_all_schemas

from onnxgs_opt import optimize
from onnxgs_opt.errors import UsageError
from onnxgs_opt.runtime.lacking import lacking, spelt_out

EXPORT = Path(__file__).parents[1] / "fixtures/models/masked_interior.ts17.st.onnx"


def test_the_table_names_operators_and_sources() -> None:
    known = {schema.name for schema in get_all_schemas()}
    assert {"coreml", "nnapi", "qnn", "rknn", "migraphx", "webgpu"} <= set(lacking())
    for name, row in lacking().items():
        assert set(row.operators) <= known, name
        assert list(row.operators) == sorted(row.operators), name
        assert "https://" in row.source, name


def test_a_runtime_stands_for_what_it_lacks() -> None:
    assert spelt_out(["@qnn", "Where"]) == {"RoiAlign", "Scan", "Where"}
    assert spelt_out([]) == frozenset()
    with pytest.raises(UsageError, match="--avoid @qnm: nothing is known of that runtime") as refused:
        spelt_out(["@qnm"])
    assert refused.value.hint.startswith("one of @coreml, @migraphx, ")


@pytest.mark.parametrize(
    ("runtime", "left"),
    [
        ("coreml", {"grid-sample"}),
        ("webgpu", {"merged-gather", "lerp-gather", "grid-sample", "plugin"}),
        ("rknn", {"merged-gather", "lerp-gather", "roi-align", "plugin"}),
    ],
)
def test_forms_that_a_runtime_cannot_take_are_refused(runtime: str, left: set[str]) -> None:
    (site,) = optimize(EXPORT, dry_run=True, avoid=[f"@{runtime}"]).report.sites
    names = {"merged-gather", "lerp-gather", "row-gather", "packed-gather", "grid-sample", "roi-align", "plugin"}
    assert names - set(site.refusals) == left
    assert all("GSO210" in why for name, why in site.refusals.items() if name in names)
