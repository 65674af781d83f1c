"""JSON, Markdown, SARIF and GitHub annotations: what they say, and that no name of a model can break out of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from markdown_it import MarkdownIt

from onnxgs_opt import options
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import Failure, Report, TargetCheck, Validation, schema
from onnxgs_opt.report.rendering import ENDINGS, FORMATS, render
from onnxgs_opt.report.rendering.markdown import code
from onnxgs_opt.report.rendering.notebook import to_notebook
from onnxgs_opt.report.rendering.sarif import uri
from onnxgs_opt.report.rendering.words import number, verdict
from tests.report.rendering.samples import FINDING, FULL, NASTY, hostile
from tests.report.rendering.schemas import sarif_schema

EMPTY = replace(FULL, status="nothing-to-do", sites=(), near_misses=(), hazards=(), engine=None, output=None)
FINDINGS = replace(FULL, status="findings", output=None, failures=(FINDING,))
MISMATCH = replace(FULL, status="mismatch", output=None)
REPORTS = {"full": FULL, "empty": EMPTY, "findings": FINDINGS, "mismatch": MISMATCH, "hostile": hostile()}
each_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


@cache
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(sarif_schema())


def test_the_command_line_knows_every_format() -> None:
    assert ("text", *FORMATS) == options.FORMATS
    assert set(ENDINGS.values()) <= {*FORMATS, "html"}


@pytest.mark.parametrize("format_", FORMATS)
@each_report
def test_every_format_is_printable_and_ends_its_last_line(report: Report, format_: str) -> None:
    text = render(format_, report)
    assert text.endswith("\n")
    assert all(c.isprintable() or c == "\n" for c in text)
    text.encode("utf-8")


@each_report
def test_json_obeys_its_schema(report: Report) -> None:
    jsonschema.validate(json.loads(render("json", report)), schema(), jsonschema.Draft202012Validator)


# -- SARIF ----------------------------------------------------------------------------------------


@each_report
def test_sarif_obeys_its_schema(report: Report) -> None:
    validator().validate(json.loads(render("sarif", report)))


def test_sarif_has_a_result_a_finding_and_a_rule_a_code() -> None:
    [run] = json.loads(render("sarif", FULL))["runs"]
    assert [r["ruleId"] for r in run["results"]] == ["GSO001", "GSO001", "GSO101", "GSO204"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[r["ruleIndex"]] for r in run["results"]] == [r["ruleId"] for r in run["results"]]
    assert len({r["partialFingerprints"]["primaryLocationLineHash"] for r in run["results"]}) == 3
    nodes = [place["fullyQualifiedName"] for place in run["results"][0]["locations"][0]["logicalLocations"]]
    assert tuple(nodes) == FULL.sites[0].reads


@pytest.mark.parametrize(("report", "done", "levels"), [(FULL, True, {"note"}), (FINDINGS, True, {"note", "warning"})])
def test_sarif_levels(report: Report, done: bool, levels: set[str]) -> None:
    [run] = json.loads(render("sarif", report))["runs"]
    assert run["invocations"][0]["executionSuccessful"] is done
    assert {r["level"] for r in run["results"] if r["ruleId"] == "GSO001"} == levels


def test_sarif_of_a_failure_says_so() -> None:
    [run] = json.loads(render("sarif", MISMATCH))["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["exitCode"] == 3


def test_a_path_becomes_a_uri() -> None:
    assert uri("models/a b#1.onnx") == "models/a%20b%231.onnx"
    assert uri("/models/in.onnx") == "file:///models/in.onnx"
    assert uri("models/bad\udcff.onnx") == "models/bad%FF.onnx", "bytes that are no text"


# -- GitHub annotations ----------------------------------------------------------------------------


def test_github_annotates_each_finding_and_ends_with_the_verdict() -> None:
    *commands, model, last = render("github", FULL).splitlines()
    assert model.startswith("the whole model: 41 ms before, 14 ms after")
    assert [line.split(" ")[0] for line in commands] == ["::notice", "::notice", "::notice", "::warning"]
    assert all("file=models/in.onnx,title=GSO" in line for line in commands)
    assert last.startswith("onnxgs-opt: PASSED 1 site lowered")


def test_github_warns_of_findings_and_errs_on_failures() -> None:
    assert render("github", FINDINGS).startswith("::warning file=models/in.onnx,title=GSO001")
    *_, error, _, last = render("github", MISMATCH).splitlines()
    assert error.startswith("::error file=models/in.onnx,title=onnxgs-opt::the result differs")
    assert last.startswith("onnxgs-opt: FAILED the result differs")


def test_github_names_start_no_command_and_no_property() -> None:
    lines = render("github", hostile()).splitlines()
    count = len(hostile().sites) + len(hostile().near_misses) + len(hostile().hazards)
    assert sum(line.startswith("::") for line in lines) == count == len(lines) - 2
    for line in lines[:count]:
        found = re.fullmatch(r"::(notice|warning) file=([^,:]*),title=([^,:]*)::(.*)", line)
        assert found, line
        assert not re.search("%(?!25|3A|2C)", found[2] + found[3])
        assert not re.search("%(?!25)", found[4])


# -- Markdown --------------------------------------------------------------------------------------


def tokens(text: str) -> list[str]:
    """Every kind of token of a document, its inline ones included."""
    blocks = MARKDOWN.parse(text)
    return [t.type for block in blocks for t in (block, *(block.children or ()))]


def test_markdown_says_what_was_found() -> None:
    text = render("markdown", FULL)
    for words in ("PASSED", "merged-gather", "GSO101", "GSO204 integer Clip", "| nodes | 252 | 62 |", "1.60"):
        assert words in text
    assert tokens(text).count("table_open") == 8
    assert "41 ms before, 14 ms after: 2.90 times as fast (2.70 to 3.10; 25 rounds in turn)" in text


def test_markdown_of_hostile_names_is_tables_and_text_only() -> None:
    kinds = set(tokens(render("markdown", hostile())))
    assert not kinds & {"link_open", "image", "em_open", "strong_open", "s_open", "html_block", "fence", "hr"}
    inline = [t for b in MARKDOWN.parse(render("markdown", hostile())) for t in b.children or ()]
    assert {t.content for t in inline if t.type == "html_inline"} <= {"<!-- -->"}


def test_markdown_rows_keep_their_columns() -> None:
    blocks = MARKDOWN.parse(render("markdown", hostile()))
    widths: list[int] = []
    for kind in (block.type for block in blocks):
        if kind == "tr_open":
            widths.append(0)
        elif kind in ("td_open", "th_open"):
            widths[-1] += 1
        elif kind == "table_close":
            assert len(set(widths)) == 1
            widths.clear()


@pytest.mark.parametrize("name", [*NASTY, "`", " ", "", "a`b``c"])
def test_a_name_is_one_code_span(name: str) -> None:
    table = MARKDOWN.parse(f"| {code(name)} |\n|---|\n")
    [inline] = [block for block in table if block.type == "inline"]
    kinds = [t.type for t in inline.children or ()]
    assert kinds == (["code_inline"] if name.strip() else kinds)


def test_every_code_has_its_words() -> None:
    for name in CODES:
        assert name in render("sarif", replace(FULL, near_misses=(replace(FULL.near_misses[0], code=name),)))


# -- JUnit -----------------------------------------------------------------------------------------


@each_report
def test_junit_counts_what_it_holds(report: Report) -> None:
    root = ET.fromstring(render("junit", report))
    [suite] = root
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.attrib["tests"]) == int(root.attrib["tests"])
    for name, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        assert sum(case.find(tag) is not None for case in cases) == int(suite.attrib[name]) == int(root.attrib[name])
    assert len({case.attrib["name"] for case in cases}) <= len(cases)


@pytest.mark.parametrize(
    ("report", "failed"),
    [
        (FULL, {}),
        (FINDINGS, {"GSO001 four-read bilinear sampler: site0": "check"}),
        (MISMATCH, {"validation of the whole model": "mismatch"}),
        (replace(FULL, status="too-slow", failures=(Failure("min-speedup", "too slow"),)), {"run": "min-speedup"}),
        (replace(FULL, status="engine-failed"), {"run": "engine-failed"}),
    ],
)
def test_junit_fails_for_what_the_run_fails_for(report: Report, failed: dict[str, str]) -> None:
    cases = ET.fromstring(render("junit", report)).iter("testcase")
    found = {case.attrib["name"]: case.find("failure") for case in cases}
    assert {name: case.attrib["type"] for name, case in found.items() if case is not None} == failed


def test_junit_of_hostile_names_holds_them_as_text() -> None:
    tags = {element.tag for element in ET.fromstring(render("junit", hostile())).iter()}
    assert tags == {"testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out"}


def test_a_notebook_has_a_row_a_site_and_a_line_a_near_miss() -> None:
    html = to_notebook(FULL)
    assert (
        "<p>The whole model: 41 ms before, 14 ms after: 2.90 times as fast (2.70 to 3.10; 25 rounds in turn)</p>"
        in html
    )
    assert html.count("<tr><td>") == len(FULL.sites)
    assert "<td>as it is</td>" in html
    assert "<p>looks like one: one weight is 2uv: node /Add_3 [GSO101]</p>" in html


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            replace(FULL, status="mismatch", validation=Validation("mismatch", reason="it does not load:\nno kernel")),
            "an internal failure: it does not load:",
        ),
        (
            replace(FULL, validation=replace(FULL.validation, target=TargetCheck("mnn", reason="it ends the process"))),
            "; not checked on mnn: it ends the process; wrote out.onnx",
        ),
        (
            replace(FULL, validation=replace(FULL.validation, target=TargetCheck("openvino", 0.01, 0.02))),
            "; on openvino max |error| 0.01, 0.02 of the exported model (GSO209); wrote out.onnx",
        ),
        (
            replace(FULL, validation=replace(FULL.validation, from_double=(1e-6, 1e-6))),
            f"max |error| {number(2.4e-7)}; wrote out.onnx",
        ),
    ],
    ids=["internal", "not on target", "both off", "as near"],
)
def test_the_verdict_says_what_came_of_the_check(report: Report, said: str) -> None:
    assert said in verdict(report)
