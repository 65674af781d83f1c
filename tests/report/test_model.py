"""The report's records, its JSON and the shipped schema, its text, and the exit code that it decides."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import (
    EXIT_CODES,
    Count,
    Failure,
    Hazard,
    NearMiss,
    Report,
    SiteError,
    SitePolicy,
    SiteReport,
    Status,
    Validation,
    schema,
    to_dict,
)
from onnxgs_opt.report.rendering.json import to_json
from onnxgs_opt.report.rendering.markdown import to_markdown
from onnxgs_opt.report.rendering.text import explain, explain_all, to_text
from onnxgs_opt.report.rendering.words import outside, printable
from onnxgs_opt.runtime.tensorrt.engine import Engine, EngineBefore, EngineTime
from onnxgs_opt.samplers.border import BORDERS, CYLINDER, BorderName
from onnxgs_opt.samplers.policy import WINDOWS, Policy
from onnxgs_opt.tuning.measurement import Measurement
from tests.fixtures.kernels import Spelling, build

FIXTURES = Path(__file__).parents[1] / "fixtures"

POLICY = SitePolicy("bilinear", "interior", "pixel", None, "NCHW", "float32")
SITE = SiteReport(
    id="site0",
    rule="GSO001",
    policy=POLICY,
    image="img",
    grid="grid",
    output="out",
    reads=("/Gather", "/Gather_1", "/Gather_2", "/Gather_3"),
    read_op="Gather",
    lowering="merged-gather",
    reason="one read instead of four, exact",
    refusals={"grid-sample": "GridSample needs opset >= 16, the model has 13"},
    error=SiteError(0.0, 0.0),
)
INSIDE = "(zero unless all four pixels are inside; pixel coordinates)  [GSO001]"
KEPT = replace(SITE, id="site1", lowering="keep", reason="asked for", grid=("x", "y"), error=SiteError())
EMPTY = Report("in.onnx", None, "ort-cpu", "nothing-to-do", Count(3, 3), Count(0, 0))
FULL = Report(
    input="in.onnx",
    output="out.onnx",
    target="ort-cpu",
    status="optimised",
    nodes=Count(252, 62),
    reads=Count(8, 5),
    sites=(replace(SITE, measurements=(Measurement("merged-gather", "ok", 12.5, 1.7),)), KEPT),
    near_misses=(NearMiss("GSO101", "/Add_3", "one weight is 2uv", "compare the products"),),
    hazards=(Hazard("GSO204", "/Clip", "export at opset 12"),),
    validation=Validation("ok", ({"img": (2, 3, 24, 40), "grid": (2, 9, 11, 2)},), 0.0, 0.0, 7),
    engine=Engine("out.engine", "tensorrt", "10.16.1", 12.5, 4),
    timings={"load": 0.01, "validate": 1.5},
)
NEAR_MISSES_ONLY = replace(EMPTY, near_misses=FULL.near_misses)
MISMATCH = replace(FULL, status="mismatch", output=None)
TIMED = replace(
    FULL,
    engine=Engine(
        "out.engine", "tensorrt", "8.6.0", 9.0, 1, max_abs=5e-7, microseconds=8.5,
        layer_times=(EngineTime("sample", 8.25, 1.0),),
        before=EngineBefore(None, 17.0, (EngineTime("gather", 12.0, 0.75), EngineTime("mul", 4.0, 0.25))),
    ),
)  # fmt: skip
UNBUILT = replace(FULL, engine=replace(TIMED.engine, before=EngineBefore("it | does not parse")))


def lines(report: Report, **options: Any) -> list[str]:
    return to_text(report, **options).splitlines()


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("report", [EMPTY, FULL, NEAR_MISSES_ONLY, MISMATCH, TIMED, UNBUILT])
def test_json_obeys_the_schema(report: Report) -> None:
    jsonschema.validate(json.loads(to_json(report)), schema(), jsonschema.Draft202012Validator)


OTHER_KINDS = {
    "resizes/linear.st.onnx": "GSO004",
    "deform_exports/package_v2.nd12.onnx": "GSO006",
    "rois/rows_weights.ts.st.onnx": "GSO007",
    "attention/points.ts17.st.onnx": "GSO008",
}


@pytest.mark.parametrize("model", [*OTHER_KINDS, Spelling("linear", 1), Spelling("nearest", 3)], ids=str)
def test_json_of_other_kinds_obeys_the_schema(model: str | Spelling) -> None:
    """They have one tensor of coordinates in a list, or three, and are named in many words."""
    given = build(model) if isinstance(model, Spelling) else FIXTURES / model
    report = optimize(given, dry_run=True).report
    assert OTHER_KINDS.get(str(model), "GSO005") in {site.rule for site in report.sites}
    jsonschema.validate(json.loads(to_json(report)), schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize("status", EXIT_CODES)
def test_schema_knows_every_status(status: Status) -> None:
    jsonschema.validate(to_dict(replace(EMPTY, status=status)), schema(), jsonschema.Draft202012Validator)


def test_schema_refuses_what_it_does_not_know() -> None:
    for change in ({"extra": 1}, {"status": "fine"}, {"schema_version": "1"}, {"nodes": {"before": 1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**to_dict(FULL), **change}, schema(), jsonschema.Draft202012Validator)


def test_json_has_the_documented_keys_in_their_order() -> None:
    document = json.loads(to_json(FULL))
    assert list(document) == [
        "schema_version", "tool", "input", "output", "target", "status", "exit_code", "nodes", "reads",
        "sites", "near_misses", "hazards", "validation", "engine", "latency", "failures", "provenance", "timings",
    ]  # fmt: skip
    assert list(document["sites"][0]) == [
        "id", "rule", "policy", "image", "grid", "output", "reads", "read_op", "lowering", "reason",
        "refusals", "error", "measurements", "body", "domain",
    ]  # fmt: skip
    assert list(document["sites"][0]["policy"]) == [
        "kind", "border", "coordinates", "align_corners", "layout", "dtype"
    ]  # fmt: skip
    keys = ["status", "shapes", "max_abs", "max_rel", "seed", "reason", "from_double", "target"]
    assert list(document["validation"]) == keys
    assert list(document["engine"]) == [
        "path", "backend", "version", "build_s", "layers", "flags", "network", "max_abs", "microseconds", "layer_times",
        "before",
    ]  # fmt: skip


def test_json_values() -> None:
    document = json.loads(to_json(FULL))
    assert document["tool"]["name"] == "onnxgs-opt"
    assert [site["grid"] for site in document["sites"]] == ["grid", ["x", "y"]]
    assert document["sites"][0]["measurements"] == [
        {
            "lowering": "merged-gather", "status": "ok", "median_ms": 12.5, "ratio": 1.7,
            "ratio_low": None, "ratio_high": None, "max_abs": None,
        }
    ]  # fmt: skip
    assert document["validation"]["shapes"] == [{"img": [2, 3, 24, 40], "grid": [2, 9, 11, 2]}]
    assert document["exit_code"] == 0


def test_json_says_infinity_in_a_word() -> None:
    report = replace(FULL, validation=Validation("mismatch", (), float("inf"), float("nan"), 0))
    document = json.loads(to_json(report))
    assert (document["validation"]["max_abs"], document["validation"]["max_rel"]) == ("inf", "nan")
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)


def test_text_of_a_full_run() -> None:
    assert lines(FULL) == [
        f"site0  out = bilinear sample of img at grid {INSIDE}",
        "       4 Gather -> merged-gather: one read instead of four, exact",
        f"site1  out = bilinear sample of img at x, y {INSIDE}",
        "       4 Gather -> left as it is: asked for",
        "looks like one  one weight is 2uv: node /Add_3  [GSO101]",
        "                compare the products",
        "hazard  integer Clip at opset 11: node /Clip  [GSO204]",
        "        export at opset 12",
        "        before    after",
        "nodes      252       62",
        "reads        8        5",
        "engine out.engine: tensorrt, 4 layers, 10.16.1",
        "onnxgs-opt: PASSED 1 site lowered; validated over 1 shape, max |error| 0; wrote out.onnx",
    ]


def test_what_is_alike_is_said_once() -> None:
    sites = [replace(SITE, id=f"site{k}", output=f"out{k}", image=f"img{k}") for k in range(20)]
    misses = [NearMiss("GSO101", f"/Add_{k}", "one weight is 2uv", "compare the products") for k in range(3)]
    report = replace(EMPTY, sites=(*sites, KEPT), near_misses=tuple(misses))
    assert lines(report)[:-1] == [
        f"site0  out0 = bilinear sample of img0 at grid {INSIDE}",
        "       4 Gather in each of 20 -> merged-gather: one read instead of four, exact",
        "       alike: site1 (out1), site2 (out2), site3 (out3) and 16 more (-v names them)",
        f"site1  out = bilinear sample of img at x, y {INSIDE}",
        "       4 Gather -> left as it is: asked for",
        "looks like one  one weight is 2uv: node /Add_0 and /Add_1, /Add_2  [GSO101]",
        "                compare the products",
    ]
    spoken = to_text(report, verbosity=1)
    assert all(f"site{k}  out{k} = " in spoken for k in range(20))


def test_a_sum_of_reads_is_no_sampler() -> None:
    site = replace(KEPT, policy=replace(POLICY, kind="structural", border="as read", coordinates="index"))
    assert lines(replace(EMPTY, sites=(site,)))[:2] == [
        "site1  out = a sum of 4 reads of img at x, y, not a bilinear sampler  [GSO001]",
        "       4 Gather -> left as it is: asked for",
    ]


def test_sums_of_reads_are_not_counted_as_samplers() -> None:
    site = replace(KEPT, policy=replace(POLICY, kind="structural", border="as read", coordinates="index"))
    for sites, words in (
        ((site,), "1 sum of reads found, and left as it is"),
        ((site, site), "2 sums of reads found, and left as they are"),
        ((KEPT, site), "1 sampler and 1 sum of reads found, and left as they are"),
    ):
        assert lines(replace(EMPTY, sites=sites))[-1] == f"onnxgs-opt: PASSED {words}: nothing to do"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(fill=Fraction(1, 2)), "0.5 outside the image"),
        (Policy(window="interior", fill=-3), "-3 unless all four pixels are inside"),
        (
            Policy("border", "reach", fill=7),
            "7 a pixel outside the image and beyond; else the edge is repeated outside",
        ),
    ],
)
def test_a_fill_value_stands_for_the_zeros(policy: Policy, words: str) -> None:
    assert outside(replace(POLICY, border=policy.name)).startswith(words)


NAMED = [
    *product((*BORDERS, CYLINDER), WINDOWS),
    *((own, "all") for own in ("zeros x border", "wrap x zeros", "border x wrap x wrap")),
]


@pytest.mark.parametrize(("border", "window"), NAMED)
def test_every_policy_has_words_of_its_own(border: BorderName, window: str) -> None:
    name = Policy(border, window).name
    said = outside(replace(POLICY, border=name))
    assert not re.search(r"interior|reach|cells|symmetric|reflection|wrap$", said)
    others = {Policy(*own).name for own in NAMED} - {name}
    assert said not in {outside(replace(POLICY, border=other)) for other in others}


def test_layer_times_stand_before_and_after() -> None:
    text = lines(TIMED)
    start = text.index("  before: 17.00 us a run")
    assert text[start + 1 : start + 5] == [
        "       12.00 us  75.0%  gather",
        "        4.00 us  25.0%  mul",
        "  after: 8.50 us a run, 2.00 times as fast, max |error| 5e-07",
        "        8.25 us 100.0%  sample",
    ]
    table = to_markdown(TIMED).splitlines()
    start = table.index("### Layer times")
    assert table[start + 4 : start + 9] == [
        "| before | 17.00 |  | one run, in a CUDA graph |",
        "| before | 12.00 | 75.0% | `gather` |",
        "| before | 4.00 | 25.0% | `mul` |",
        "| after | 8.50 |  | one run, in a CUDA graph |",
        "| after | 8.25 | 100.0% | `sample` |",
    ]


def test_an_engine_that_was_not_built_before_is_named() -> None:
    assert "  before: it | does not parse" in lines(UNBUILT)
    assert "it \\| does not parse" in to_markdown(UNBUILT)


def test_a_remark_without_a_hint_ends_with_what_was_seen() -> None:
    miss = NearMiss("GSO101", "/Add_3", "One weight is 2uv.", "")
    expected = "looks like one  One weight is 2uv: node /Add_3  [GSO101]"
    assert lines(replace(EMPTY, near_misses=(miss,)))[:-1] == [expected]


def test_text_shows_changed_rows_only() -> None:
    assert not any(line.startswith("reads") for line in lines(replace(FULL, reads=Count(4, 4))))
    assert lines(EMPTY) == ["onnxgs-opt: PASSED 0 samplers found: nothing to do"]


def test_a_model_without_samplers_is_written_as_it_came() -> None:
    last = "onnxgs-opt: PASSED 0 samplers found: nothing to do, the model is written as it came to out.onnx"
    assert lines(replace(EMPTY, output="out.onnx")) == [last]
    kept = replace(EMPTY, sites=(KEPT, replace(KEPT, id="site2")))
    assert lines(kept)[-1] == "onnxgs-opt: PASSED 2 samplers found, and left as they are: nothing to do"


def test_text_says_align_corners_where_it_matters() -> None:
    policy = replace(POLICY, coordinates="normalised", align_corners=True)
    report = replace(FULL, sites=(replace(SITE, policy=policy),))
    assert "coordinates -1 to 1 (align_corners=1)" in lines(report)[0]


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (replace(FULL, status="dry-run", output=None), "PASSED 2 samplers found, 1 would be lowered"),
        (replace(FULL, validation=Validation()), "PASSED 1 site lowered; not validated; wrote out.onnx"),
        (
            replace(FULL, status="findings", failures=(Failure("check", "out", "GSO001", "site0"),)),
            "FAILED 1 site could be optimised (--check)",
        ),
        (
            replace(FULL, status="findings", failures=tuple(Failure("fail-on", "", "GSO101", n) for n in "abcde")),
            "FAILED --fail-on: GSO101 at a, GSO101 at b, GSO101 at c and 2 more; nothing was written",
        ),
        (
            replace(FULL, status="too-few", failures=(Failure("require-match", "2 sites found, 3 asked for"),)),
            "FAILED 2 sites found, 3 asked for; nothing was written",
        ),
        (MISMATCH, "FAILED the result differs from the original"),
        (replace(FULL, status="engine-failed"), "FAILED the engine was not built"),
    ],
)
def test_the_last_line_is_the_verdict(report: Report, verdict: str) -> None:
    assert lines(report)[-1].startswith(f"onnxgs-opt: {verdict}")


def test_verbosity() -> None:
    assert len(lines(FULL, verbosity=-1)) == 1
    spoken = lines(FULL, verbosity=1)
    data = "bilinear sample, zero unless all four pixels are inside, pixel coordinates, NCHW float32"
    assert f"  {data}; reads: /Gather, /Gather_1, /Gather_2, /Gather_3" in spoken
    assert "  merged-gather: 12.5 ms, 1.70 times as fast as exported (once)" in spoken
    assert "  grid-sample refused: GridSample needs opset >= 16, the model has 13" in spoken
    assert "times: load 0.01 s, validate 1.50 s" in spoken


def test_colour_is_styling_only() -> None:
    coloured = to_text(FULL, colour=True)
    assert "\x1b[" in coloured
    assert "\x1b[" not in to_text(FULL)


def test_long_names_are_neither_wrapped_nor_cut() -> None:
    name = "/".join(["encoder"] * 200)
    assert name in lines(replace(FULL, sites=(replace(SITE, image=name),)))[0]


HOSTILE = "a\x1b[31m\n\r\x07\u202e[bold]b"


def test_names_cannot_steer_the_terminal() -> None:
    site = replace(SITE, image=HOSTILE, output=HOSTILE, reads=(HOSTILE,), refusals={"plugin": HOSTILE})
    miss = NearMiss("GSO101", HOSTILE, HOSTILE, HOSTILE)
    report = replace(FULL, sites=(site,), near_misses=(miss,), output=HOSTILE)
    text = to_text(report, verbosity=1)
    assert all(c == "\n" or c.isprintable() for c in text)
    assert "a\\x1b[31m\\n\\r\\x07\\u202e[bold]b" in text
    assert len(text.splitlines()) == len(lines(replace(report, output="out.onnx"), verbosity=1))


def test_a_path_with_braces_is_only_a_path() -> None:
    assert lines(replace(FULL, output="{x}.onnx"))[-1].endswith("wrote {x}.onnx")


def test_printable_keeps_letters_of_every_script() -> None:
    assert printable("画像/Ünit") == "画像/Ünit"


def test_explain() -> None:
    entry = CODES["GSO103"]
    assert explain(entry).splitlines() == [
        f"GSO103  {entry.title}", f"  {entry.meaning}", f"  To do: {entry.action}"
    ]  # fmt: skip
    assert [line.split()[0] for line in explain_all().splitlines()] == list(CODES)
