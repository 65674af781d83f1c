"""How a report came about: when, where, with what."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone

from onnx import __version__ as onnx_version

from onnxgs_opt.job import Job
from onnxgs_opt.report.model import Provenance
from onnxgs_opt.runtime import runtime_of


def provenance(job: Job) -> Provenance:
    """That of a run which ends now."""
    return Provenance(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=job.options.command,
        machine=machine(),
        versions={"python": platform.python_version(), "onnx": onnx_version, **_runtime(job)},
        model_sha256=job.sha256,
    )


def machine() -> str:
    """The system and the processor; no name of the machine, for reports are passed on."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical CPUs"


def _runtime(job: Job) -> dict[str, str]:
    """The runtime that was measured on, and its version; none where it is not installed."""
    if not job.target.is_here:
        return {}
    name, _, version = runtime_of(job.target.runtime).version().partition(" ")
    return {name: version}
