"""A cone as a picture: Graphviz lays the boxes out, this module turns its answer into shapes.

Graphviz sees positions and sizes only, never a name of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxgs_opt.report.evidence import Box, Cone
from onnxgs_opt.report.rendering.words import printable

LARGE = 400
"""Boxes beyond which a picture says nothing any more."""

LETTER, BOLD = 6.4, 7.3
"""Widths of a letter of a name and of an operator, in px: both fonts are fixed."""

HIGH, LOW = 34, 20
LONGEST = 34


@dataclass(frozen=True)
class Shape:
    """One box in place: its centre and size in px, what is written in it, and the whole name."""

    x: float
    y: float
    width: float
    height: float
    role: str
    op: str
    label: str
    name: str


@dataclass(frozen=True)
class Arrow:
    """One arrow: an SVG path, where its head ends, and the tensor that it stands for."""

    path: str
    head: str
    tensor: str


@dataclass(frozen=True)
class Drawing:
    """A picture of `width` x `height` px."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    arrows: tuple[Arrow, ...]

    @property
    def lines(self) -> str:
        """All arrows as one SVG path."""
        return "".join(arrow.path for arrow in self.arrows)

    @property
    def heads(self) -> str:
        """All heads as one path of points, which round line caps make visible."""
        return "".join(f"M{arrow.head}h0" for arrow in self.arrows if arrow.head)


def draw(cone: Cone) -> Drawing | None:
    """Lay a cone out from its inputs down to its output; None where it is too large to be looked at."""
    if len(cone.boxes) > LARGE:
        return None
    import pygraphviz

    graph = pygraphviz.AGraph(directed=True, strict=False)
    graph.graph_attr.update(rankdir="TB", nodesep="0.12", ranksep="0.3", splines="spline")
    graph.node_attr.update(shape="box", fixedsize="true", label="")
    for k, box in enumerate(cone.boxes):
        graph.add_node(f"n{k}", width=_width(box) / 72, height=_height(box) / 72)
    for k, (start, end, _) in enumerate(cone.arrows):
        graph.add_edge(f"n{start}", f"n{end}", key=f"e{k}")
    graph.layout(prog="dot")
    _, _, width, height = (float(value) for value in graph.graph_attr["bb"].split(","))
    shapes = tuple(_shape(box, graph.get_node(f"n{k}").attr["pos"], height) for k, box in enumerate(cone.boxes))
    arrows = tuple(
        _arrow(graph.get_edge(f"n{start}", f"n{end}", f"e{k}").attr["pos"], height, tensor)
        for k, (start, end, tensor) in enumerate(cone.arrows)
    )
    return Drawing(width, height, shapes, arrows)


def label_of(name: str) -> str:
    """A name as it fits into a box: the end of a long one tells more than its start."""
    shown = printable(name)
    return shown if len(shown) <= LONGEST else f"…{shown[1 - LONGEST :]}"


def _width(box: Box) -> float:
    return max(LETTER * len(label_of(box.name)), BOLD * len(label_of(box.op))) + 14


def _height(box: Box) -> float:
    return HIGH if box.op else LOW


def _shape(box: Box, at: str, height: float) -> Shape:
    x, y = (float(value) for value in at.split(","))
    place = _px(x), _px(height - y), _px(_width(box)), _px(_height(box))
    return Shape(*place, box.role, label_of(box.op), label_of(box.name), box.name)


def _arrow(pos: str, height: float, tensor: str) -> Arrow:
    """Graphviz writes "e,<head> <start> <3 control points>...", y upwards."""
    points: list[tuple[float, float]] = []
    head = ""
    for word in pos.split():
        x, y = (float(v) for v in word.removeprefix("e,").split(","))
        if word.startswith("e,"):
            head = f"{_px(x)} {_px(height - y)}"
            continue
        points.append((_px(x), _px(height - y)))
    (x0, y0), *rest = points
    curve = " ".join(f"{x} {y}" for x, y in rest)
    return Arrow(f"M{x0} {y0}C{curve}L{head}" if head else f"M{x0} {y0}C{curve}", head, tensor)


def _px(value: Any) -> int:
    return round(float(value))
