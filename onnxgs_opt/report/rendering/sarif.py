"""A report as SARIF 2.1.0, for code scanning and editors.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; nodes are logical locations of the model's file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from onnxgs_opt.diagnostics import CODES, Code
from onnxgs_opt.report.model import Report, Tool
from onnxgs_opt.report.rendering.words import advised, findings, printable, verdict, warns

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(report: Report) -> str:
    """The report as one SARIF log with one run, ASCII only, with a final newline."""
    return log([run(report)])


def log(runs: Iterable[dict[str, Any]]) -> str:
    """The runs of several models as one log."""
    return json.dumps({"$schema": SCHEMA, "version": VERSION, "runs": [*runs]}, indent=2) + "\n"


def broken(model: str, error: str, hint: str, exit_code: int) -> dict[str, Any]:
    """The run of a model that could not be looked at."""
    return _of(model, Tool(), (), _invocation(exit_code, printable(advised(error, hint))), [])


def uri(path: str) -> str:
    """A path as a URI reference: relative where it is relative, every character of a name escaped."""
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(os.fsencode(pure.as_posix()))  # a name may be no text


def run(report: Report) -> dict[str, Any]:
    """What was found in one model, as a run."""
    results = list(_results(report))
    used = sorted({result["ruleId"] for result in results})
    for result in results:
        result["ruleIndex"] = used.index(result["ruleId"])
    rules = [CODES[code] for code in used]
    return {
        **_of(report.input, report.tool, rules, _invocation(report.exit_code, verdict(report)), results),
        "properties": {
            "target": report.target,
            "status": report.status,
            "nodes": asdict(report.nodes),
            "reads": asdict(report.reads),
        },
    }


def _of(
    model: str, tool: Tool, rules: Sequence[Code], invocation: dict[str, Any], results: list[dict[str, Any]]
) -> dict[str, Any]:
    """What every run has."""
    return {
        "tool": {"driver": {**asdict(tool), "rules": [*map(_rule, rules)]}},
        "invocations": [invocation],
        "artifacts": [{"location": {"uri": uri(model)}, "roles": ["analysisTarget"]}],
        "columnKind": "utf16CodeUnits",
        "results": results,
    }


def _invocation(exit_code: int, said: str) -> dict[str, Any]:
    done = exit_code in (0, 1)
    note = {"level": "note" if done else "error", "message": {"text": said}}
    return {"executionSuccessful": done, "exitCode": exit_code, "toolExecutionNotifications": [note]}


def _rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.code,
        "name": "".join(word.capitalize() for word in code.title.replace("-", " ").split()),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.meaning},
        "help": {"text": code.action, "markdown": f"{code.meaning}\n\n**What to do:** {code.action}"},
        "defaultConfiguration": {"level": "warning" if code.code.startswith("GSO2") else "note"},
    }


def _results(report: Report) -> Iterator[dict[str, Any]]:
    sites = {site.id: site for site in report.sites}
    for code, place, what in findings(report):
        site = sites.get(place) if code.startswith("GSO0") else None
        result = _result(report, code, place, what, (place,) if site is None else site.reads)
        if site is not None:
            result["properties"] = {"lowering": site.lowering, "image": site.image, "output": site.output}
        yield result


def _result(report: Report, code: str, place: str, message: str, nodes: Sequence[str]) -> dict[str, Any]:
    """What was found, at some nodes. Code scanning wants a line, which a model does not have: it is the first."""
    location = {"artifactLocation": {"uri": uri(report.input), "index": 0}, "region": {"startLine": 1}}
    places = [{"fullyQualifiedName": printable(node), "kind": "element"} for node in nodes]
    print_of = hashlib.sha256("\n".join((code, report.input, *nodes)).encode("utf-8", "surrogatepass"))
    return {
        "ruleId": code,
        "level": "warning" if warns(report, code, place) else "note",
        "message": {"text": printable(message)},
        "locations": [{"physicalLocation": location, "logicalLocations": places}],
        "partialFingerprints": {"primaryLocationLineHash": print_of.hexdigest()[:32]},
    }
