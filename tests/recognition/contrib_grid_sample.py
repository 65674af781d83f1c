"""GridSample nodes of onnxruntime's own domain, as models have them from before ONNX had the operator."""

from __future__ import annotations

from dataclasses import replace

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.grid_sample import is_bilinear, site_of
from onnxgs_opt.recognition.kind import SiteKind
from onnxgs_opt.recognition.sampler import Sampler
from onnxgs_opt.samplers.site import Site

NAME = "contrib-grid-sample"
KIND: SiteKind[Site] = Sampler("GSO009")


def contrib_sites(scope: Scope) -> list[Site]:
    return [replace(site_of(node), kind=NAME, rule=KIND.rule) for node in scope.own if _is_contrib(node)]


def _is_contrib(node: Node) -> bool:
    return (node.domain, node.op) == ("com.microsoft", "GridSample") and is_bilinear(node)
