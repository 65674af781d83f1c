"""Reports to render: a plain one, one of every record, and one whose names attack each format."""

from __future__ import annotations

from dataclasses import replace

from onnxgs_opt.report.evidence import Box, Cone, Evidence
from onnxgs_opt.report.model import (
    Count,
    Failure,
    Hazard,
    Latency,
    NearMiss,
    Provenance,
    Report,
    SiteError,
    SitePolicy,
    SiteReport,
    Validation,
)
from onnxgs_opt.runtime.tensorrt.engine import Engine, EngineTime
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.validation.error_map import Points

SITE = SiteReport(
    id="site0",
    rule="GSO001",
    policy=SitePolicy("bilinear", "interior", "normalised", True, "NCHW", "float32"),
    image="img",
    grid=("x", "y"),
    output="sampled",
    reads=("/Gather", "/Gather_1", "/Gather_2", "/Gather_3"),
    read_op="Gather",
    lowering="merged-gather",
    reason="measured",
    refusals={"grid-sample": "GridSample needs opset >= 16, the model has 13"},
    error=SiteError(2.4e-7, 1e-6),
    measurements=(Measurement("keep", "ok", 20.0, 1.0), Measurement("merged-gather", "ok", 12.5, 1.6, 1.5, 1.7)),
)
FULL = Report(
    input="models/in.onnx",
    output="out.onnx",
    target="ort-cpu",
    status="optimised",
    nodes=Count(252, 62),
    reads=Count(8, 5),
    sites=(SITE, replace(SITE, id="site1", lowering="keep", reason="asked for", measurements=(), error=SiteError())),
    near_misses=(NearMiss("GSO101", "/Add_3", "one weight is 2uv", "Compare the products."),),
    hazards=(Hazard("GSO204", "/Clip", "Export at opset 12."),),
    validation=Validation("ok", ({"img": (2, 3, 24, 40), "grid": (2, 9, 11, 2)},), 2.4e-7, 1e-6, 7),
    engine=Engine(
        "out.engine",
        "tensorrt",
        "10.16.1",
        12.5,
        4,
        microseconds=20.0,
        max_abs=1e-6,
        layer_times=(EngineTime("slow", 15.0, 0.75), EngineTime("fast", 5.0, 0.25)),
    ),
    timings={"load": 0.01, "validate": 1.5},
    latency=Latency(41.0, 14.0, 2.9, 2.7, 3.1, 25),
    provenance=Provenance(
        "2026-11-29T12:00:00+00:00", "onnxgs-opt in.onnx out.onnx", "Linux", {"onnx": "1.2"}, "0" * 64
    ),
)
FINDING = Failure("check", "sampled: four-read bilinear sampler", "GSO001", "site0")

NASTY = (
    "</script></style><script>document.title='owned'</script>",
    "<img src=x onerror=document.title='owned'>",
    "`*_[link](https://example.com)_*` | cell | @team www.example.com",
    "first\n::error file=x::forged\r\n::stop-commands::x\x1b[31m",
    "a%0A::error::b, c:d \u202e\x00 \ud800 end\\",
    "``` fence ``` <!-- # heading",
)


def hostile() -> Report:
    """The full report with attacks for names, sentences and paths."""
    a, b, c, d, e, f = NASTY
    policy = replace(SITE.policy, layout=c, dtype=d, border=e)
    site = replace(
        SITE, policy=policy, image=a, grid=(b, c), output=d, reads=(a, c, d, e), read_op=b, reason=f, refusals={d: e}
    )
    return replace(
        FULL,
        input=d,
        output=a,
        target=c,
        engine=Engine(c, a, d, 1.0, 2),
        sites=(site, replace(site, id="site1", image=f)),
        near_misses=tuple(NearMiss("GSO103", name, name, name) for name in NASTY),
        hazards=tuple(Hazard("GSO203", name, name) for name in NASTY),
        failures=tuple(Failure("fail-on", name, "GSO103", name) for name in NASTY),
        provenance=Provenance(a, b, c, {d: e}, None),
        validation=Validation("ok", ({a: (1, 2), d: (3,)},), float("inf"), float("nan"), 0),
    )


def evidence_of(report: Report) -> tuple[Evidence, ...]:
    """A small cone and a few points for every site, with the site's own names."""
    import numpy as np

    out = []
    for site in report.sites:
        boxes = (*(Box(name, site.read_op, "read") for name in site.reads), Box(site.image, "", "input"))
        cone = Cone((*boxes, Box(site.output, "", "output")), tuple((4, k, site.image) for k in range(4)))
        x = np.array([-3.0, -1.0, 0.0, 2.5, 7.0, 8.0, 1e4])
        error = np.array([0, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, np.inf])
        points = Points(x, x[::-1].copy(), error, (8, 8))
        out.append(Evidence(site.id, Policy("zeros", "interior"), cone, cone, (points,), site.reason))
    return tuple(out)
