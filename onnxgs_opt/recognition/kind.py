"""What the rooms above ask of a kind of site: what it may become, and what decides how fast it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeVar

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.samplers.view import Layout

S_contra = TypeVar("S_contra", bound=AnySite, contravariant=True)


@dataclass(frozen=True)
class Record:
    """What a site is compared by with the cases of the recorded table.

    Attributes:
        table: Where in a record its cases are: "cases" or "reads".
        sizes: The numbers that cases are near by, None where dynamic; which ones they are is the table's.
        read_op: The operator that a case must have been recorded for; "" where any will do.
        is_dynamic: Whether its model has sizes that the file does not tell, these or others: it computes with them.
    """

    table: str
    sizes: tuple[int | None, ...]
    read_op: str = ""
    is_dynamic: bool = False


def digest_of(graph: Graph, site: AnySite, *layouts: object) -> str:
    """A digest of the operators of a site's cone and of the layouts that count beside them."""
    names = set(site.cone)
    operators = sorted(Counter(node.op for node in graph.at(site.body).nodes if node.name in names).items())
    return sha256(repr((operators, *layouts)).encode()).hexdigest()[:12]


class SiteKind(Protocol[S_contra]):
    """One kind of site. Implementations are frozen dataclasses."""

    @property
    def rule(self) -> str:
        """The code that reports give its sites, which `--explain` explains."""

    @property
    def keeps_rest(self) -> bool:
        """Whether what a lowering does not replace of the cone stays a part of the site."""

    def refusals(self, site: S_contra, target: Target) -> dict[str, str]:
        """Why the site cannot be lowered so, for each lowering that cannot."""

    def workload(self, graph: Graph, site: S_contra, layout: Layout | None = None) -> str:
        """Everything that decides how fast a site is: what it computes, its sizes, and how it was spelt.

        Names do not count, nor does anything outside the site, so that a plan outlives another export of the model.
        `layout` is where dynamic sizes were measured.
        """

    def record(self, site: S_contra) -> Record:
        """What the site is compared by with what was measured elsewhere."""

    def operands(self, site: S_contra) -> tuple[str, str | tuple[str, ...]]:
        """The tensor that is read, and where: one tensor, or those of x and y."""
