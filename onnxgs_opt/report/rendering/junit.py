"""A report as JUnit XML, which CI systems show as tests: a suite a model, a case for each thing that was found.

A case fails where the run fails for it (see `Failure`); everything else that was found passes, with its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import Report
from onnxgs_opt.report.rendering.words import findings, printable, verdict


def to_junit(report: Report) -> str:
    """The report as one document with one suite, and a final newline."""
    return document([suite(report)])


def document(suites: Iterable[ET.Element]) -> str:
    """The suites of many models as one document."""
    root = ET.Element("testsuites", name="onnxgs-opt")
    root.extend(suites)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(each.get(name, "0")) for each in root)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def suite(report: Report) -> ET.Element:
    """One model's cases."""
    cases = list(_cases(report))
    cases[-1].set("time", f"{sum(report.timings.values()):.3f}")
    made = _suite(report.input, cases)
    properties = ET.Element("properties")
    for name, value in (("target", report.target), ("status", report.status), ("version", report.tool.version)):
        ET.SubElement(properties, "property", name=name, value=printable(value))
    made.insert(0, properties)
    return made


def broken(model: str, error: str, hint: str) -> ET.Element:
    """The suite of a model that could not be looked at, which is one error."""
    case = _case(model, "run")
    ET.SubElement(case, "error", message=printable(error)).text = printable(hint)
    return _suite(model, [case])


def _suite(model: str, cases: list[ET.Element]) -> ET.Element:
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counts = {name: str(sum(case.find(tag) is not None for case in cases)) for name, tag in kinds.items()}
    made = ET.Element("testsuite", {"name": printable(model), "tests": str(len(cases)), **counts})
    made.extend(cases)
    return made


def _cases(report: Report) -> Iterator[ET.Element]:
    yield from (_found(report, *found) for found in findings(report))
    check = report.validation
    if check.status != "not-run" or check.reason is not None:
        yield _validation(report)
    yield _run(report)


def _found(report: Report, code: str, place: str, text: str) -> ET.Element:
    case = _case(report.input, f"{code} {CODES[code].title}: {place}")
    failure = report.failure(code, place)
    if failure is None:
        ET.SubElement(case, "system-out").text = printable(text)
    else:
        _fail(case, failure.message, failure.gate, text)
    return case


def _validation(report: Report) -> ET.Element:
    case = _case(report.input, "validation of the whole model")
    if report.status == "mismatch":
        _fail(case, verdict(report), "mismatch", "")
    elif report.validation.reason is not None:
        ET.SubElement(case, "skipped", message=printable(report.validation.reason))
    return case


def _run(report: Report) -> ET.Element:
    """What holds for the run as a whole: enough sites, fast enough, an engine."""
    case = _case(report.input, "run")
    whole = [failure for failure in report.failures if not failure.code]
    if whole:
        _fail(case, whole[0].message, whole[0].gate, "")
    elif report.status == "engine-failed":
        _fail(case, verdict(report), report.status, "")
    else:
        ET.SubElement(case, "system-out").text = printable(verdict(report))
    return case


def _case(model: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=printable(model), name=printable(name))


def _fail(case: ET.Element, message: str, kind: str, text: str) -> None:
    ET.SubElement(case, "failure", message=printable(message), type=kind).text = printable(text)
