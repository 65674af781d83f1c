"""A report as JSON, as `schemas/report-2.json` describes it."""

from __future__ import annotations

import json

from onnxgs_opt.report.model import Report, to_dict


def to_json(report: Report) -> str:
    """The report as one JSON document, ASCII only, with a final newline."""
    return json.dumps(to_dict(report), indent=2, allow_nan=False) + "\n"
