"""Operators that must not stand in the result, or that the target lacks: which forms of a site have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.traversal import nodes_of
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.samplers.border import MIRRORED
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.trial import Trial, trial_of
from onnxgs_opt.validation.extract import NotRunnableError

PLANE = 2
Refusals = dict[str, str]


def avoided_forms(graph: Graph, sites: Sequence[AnySite], target: Target) -> dict[str, Refusals]:
    """By site's id the forms that have an operator that the target is to do without, and a sentence that names it."""
    done: dict[str, Refusals] = {}
    out = {}
    for site in sites:
        if not target.avoid and not _lack(site, target):
            continue
        trial = trial_of(graph, graph, site)
        if trial.signature not in done:
            done[trial.signature] = dict(_refused(graph, trial, target))
        out[site.id] = done[trial.signature]
    return out


def _refused(graph: Graph, trial: Trial, target: Target) -> Iterator[tuple[str, str]]:
    try:
        cone = trial.cone(graph)
    except NotRunnableError:  # it cannot stand alone: the whole result tells
        return
    refusals = KINDS[trial.site.kind].refusals(trial.site, target)
    for name in LOWERINGS:
        if name in refusals:
            continue
        if name == KEEP and (lack := _lack(trial.site, target)):
            yield name, f"{target.runtime} has {lack} (GSO210)"
            continue
        model = cone if name == KEEP else trial.lowered(graph, cone, name)
        if found := sorted(operators_of(model) & target.avoid):
            yield name, f"it has {' and '.join(found)}, to be avoided (GSO210)"


def _lack(site: AnySite, target: Target) -> str:
    """What of a site that is a node the target lacks, in words; empty where it has it."""
    if site.read_op != "GridSample":
        return ""
    if len(site.kernels) > PLANE and Quirk.NO_GRID_SAMPLE_OF_VOLUMES in target.quirks:
        return "no GridSample of volumes"
    mirrors = site.policy is not None and site.policy.border in MIRRORED
    if mirrors and Quirk.GRID_SAMPLE_DOES_NOT_MIRROR in target.quirks:
        return "no GridSample that mirrors the image: it reads other pixels"
    is_cubic = any(name.startswith("cubic") for name in site.kernels)
    if is_cubic and Quirk.CUBIC_GRID_SAMPLE_IS_LINEAR in target.quirks:
        return "no cubic GridSample: it runs a bilinear one"
    return ""


def operators_of(model: ModelProto) -> frozenset[str]:
    """Every operator of a model, its bodies and functions included."""
    return frozenset(node.op_type for node in nodes_of(model))
