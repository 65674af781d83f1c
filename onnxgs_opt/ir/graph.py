"""The one mutable thing: a graph of graphsurgeon nodes inside the envelope that its model came in.

Graphsurgeon traps, dealt with here and nowhere else: nodes and tensors are unhashable and compare
equal by name, so maps go by ``id``; ``.inputs`` and ``.outputs`` keep each other up to date by
searching with that equality, so rewiring works on the bare lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnx_graphsurgeon as gs
from onnx import FunctionProto, ModelProto

from onnxgs_opt.ir.clone import clone_model
from onnxgs_opt.ir.exporter import export_model
from onnxgs_opt.ir.files import read_model, write_model
from onnxgs_opt.ir.importer import import_function, import_model, paused_collector, readable_text, shell_of
from onnxgs_opt.ir.operators import DEFAULT_DOMAINS, first_name, operator
from onnxgs_opt.ir.traversal import captured, node_subgraphs, sort_nodes
from onnxgs_opt.ir.verifier import verify

FIRST_IR_WITH_FUNCTIONS = 8


class Graph:
    """A model, one of its subgraphs or one of its function bodies.

    Attributes:
        gs: The graphsurgeon graph that this wraps. Several wrappers may share one.
        envelope: The model without graph and functions: opset imports, metadata, IR version.
        folder: Folder that external data is relative to, None for a model from memory.
        outer: The graph whose node carries this body; None for a main graph and for a function.
        path: Where the body is: first named output and attribute of each node on the way to it. Empty without `outer`.
        original: The model that this was made of, which stays as it came; None where there is none.
    """

    def __init__(
        self, graph: gs.Graph, envelope: ModelProto, folder: Path | None = None, names: set[str] | None = None
    ) -> None:
        """Wrap ``graph``; use `load` or `from_proto` to make one from a model."""
        self.gs = graph
        self.envelope = envelope
        self.folder = folder
        self.outer: Graph | None = None
        self.path = ""
        self.original: ModelProto | None = None
        self._names = names
        self._by_name: dict[str, gs.Tensor] = {}

    # -- in and out -------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """Read a model file without its external weights; ModelError where it is missing or no valid ONNX model."""
        path = Path(path)
        return cls._wrap(read_model(path), path.parent)

    @classmethod
    def from_proto(cls, model: ModelProto, folder: str | Path | None = None) -> Graph:
        """Take over a model from memory; ``folder`` is where its external data lies.

        The model's messages are referred to, so it must not be changed afterwards.

        Raises:
            ModelError: The model is not a valid graph.
        """
        with readable_text():
            verify(model)
        return cls._wrap(model, None if folder is None else Path(folder))

    @classmethod
    def _wrap(cls, model: ModelProto, folder: Path | None) -> Graph:
        with readable_text(), paused_collector():
            graph = cls(import_model(model), shell_of(model, ("graph", "functions")), folder)
            for part in (graph, *graph.subgraphs()):
                sort_nodes(part.nodes)  # a cycle is found here, not in the middle of a pass
        graph.original = model
        return graph

    def to_proto(self) -> ModelProto:
        """Make a model: nodes in a valid order, everything that was not rewritten as it was."""
        with readable_text(), paused_collector():
            return export_model(self.gs, self.envelope)

    def save(self, path: str | Path) -> None:
        """Write the model to ``path`` atomically, its external data copied beside it.

        Raises:
            UsageError: ``path`` cannot be written; nothing is left behind.
        """
        write_model(self.to_proto(), Path(path), self.folder)

    def save_original(self, path: str | Path) -> None:
        """Write the model that this was made of, whatever has become of the graph since; as `save`."""
        write_model(self.to_proto() if self.original is None else self.original, Path(path), self.folder)

    def copy(self) -> Graph:
        """Make an independent graph; weights are shared, since nobody changes them in place."""
        return Graph(clone_model(self.gs), deepcopy(self.envelope), self.folder)

    # -- what is there ----------------------------------------------------------------------------

    @property
    def nodes(self) -> list[gs.Node]:
        """The nodes; any order is allowed, the written file is sorted."""
        return self.gs.nodes  # type: ignore[no-any-return]

    @property
    def inputs(self) -> list[gs.Tensor]:
        """The inputs; initialisers that callers may override are among them, with their type only."""
        return self.gs.inputs  # type: ignore[no-any-return]

    @property
    def outputs(self) -> list[gs.Tensor]:
        """The outputs, in order."""
        return self.gs.outputs  # type: ignore[no-any-return]

    @property
    def constants(self) -> list[gs.Tensor]:
        """The initialisers that the graph came with, and those that passes made of its tensors."""
        return self.gs.__dict__.setdefault("constants", [])  # type: ignore[no-any-return]

    @property
    def opset(self) -> int:
        """Version of the default ONNX domain; 0 when only other domains are used."""
        return int(self.gs.opset or 0)

    @property
    def is_function(self) -> bool:
        """Whether this is the body of a model-local function, which has no initialisers."""
        return isinstance(self.gs, gs.Function)

    def tensor(self, name: str) -> gs.Tensor:
        """The tensor of that name in this graph; KeyError when there is none.

        Names move between tensors and new ones come, so that what was seen before counts as long as its name is the
        same; every rewriting that gives a name to another tensor takes it from the one that had it.
        """
        found = self._by_name.get(name)
        if found is None or found.name != name:
            self._by_name = self.tensors()
            found = self._by_name[name]
        return found

    def tensors(self) -> dict[str, gs.Tensor]:
        """Tensors of this graph and of those around it, by name."""
        found = {} if self.outer is None else self.outer.tensors()
        found.update((t.name, t) for t in (*self.constants, *self.inputs))
        for node in self.nodes:
            found.update((t.name, t) for t in (*node.inputs, *node.outputs))
        found.update((t.name, t) for t in self.outputs)
        found.pop("", None)
        return found

    def topological(self) -> list[gs.Node]:
        """The nodes in a valid order that stays as near as possible to the order they are in."""
        return sort_nodes(self.nodes)

    def subgraphs(self) -> Iterator[Graph]:
        """Bodies of If, Loop and Scan, however deep, and of functions, over the same objects."""
        for function in () if self.is_function else self.gs.functions:
            yield (inner := Graph(function, self.envelope, self.folder, self.names()))
            yield from inner.bodies()
        yield from self.bodies()

    def bodies(self) -> Iterator[Graph]:
        """Bodies of If, Loop and Scan, however deep, over the same objects."""
        for inner in self._own_bodies():
            yield inner
            yield from inner.bodies()

    def _own_bodies(self) -> Iterator[Graph]:
        for node in self.nodes:
            for name, body in node.attrs.items():
                if isinstance(body, gs.Graph):
                    inner = Graph(body, self.envelope, self.folder, self.names())
                    here = f"{first_name(node)}.{name}"
                    inner.outer, inner.path = self, f"{self.path} > {here}" if self.path else here
                    yield inner

    def at(self, path: str) -> Graph:
        """The body at a path, this graph itself where that is empty; KeyError when there is none."""
        if path in ("", self.path):
            return self
        for part in self._own_bodies():  # not all of them: there may be as many as sites
            if f"{path} > ".startswith(f"{part.path} > "):
                with suppress(KeyError):  # the name of another one may begin alike
                    return part.at(path)
        raise KeyError(path)

    @property
    def size(self) -> int:
        """The number of nodes, those in bodies included; the call of a function is one."""
        return len(self.nodes) + sum(len(part.nodes) for part in self.bodies())

    @property
    def root(self) -> Graph:
        """The main graph or function that a body is in, however deep."""
        return self if self.outer is None else self.outer.root

    def names(self) -> set[str]:
        """Every name of a node or tensor in the model, shared by all wrappers made from this one."""
        if self._names is None:
            self._names = {"", *(t.name for t in (*self.constants, *self.inputs))}
            graphs = [self.gs, *self.gs.functions]
            while graphs:
                graphs.extend(_collect_names(graphs.pop(), self._names))
        return self._names

    def fresh_name(self, base: str) -> str:
        """``base``, or ``base_1``, ``base_2``..., whichever no node or tensor of the model has yet."""
        names = self.names()
        name, count = base, 0
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.add(name)
        return name

    # -- changes ----------------------------------------------------------------------------------

    def replace_all_uses(self, old: gs.Tensor, new: gs.Tensor) -> None:
        """Let every consumer of ``old``, in subgraphs too, read ``new``; outputs keep their names.

        When ``old`` is an output of this graph and ``new`` can stand in for it, ``new`` takes over its
        name; when not (an input, a constant, another output, a tensor from outside), an Identity makes it.
        """
        if old is new:
            return
        for consumer in {id(node): node for node in old.outputs}.values():
            for index, tensor in enumerate(consumer.inputs):
                if tensor is old:
                    list.__setitem__(consumer.inputs, index, new)
                    list.append(new.outputs, consumer)
        list.clear(old.outputs)
        if any(t is old for t in self.outputs):
            self._replace_output(old, new)

    def stand_in(self, old: gs.Tensor, new: gs.Tensor) -> None:
        """Let ``new``, which a node of this graph makes, take the place and the name of ``old``."""
        self.replace_all_uses(old, new)
        if not any(t is old or t is new for t in self.outputs):
            old.name, new.name = new.name, old.name

    def _replace_output(self, old: gs.Tensor, new: gs.Tensor) -> None:
        local = any(any(node is p for node in reversed(self.nodes)) for p in new.inputs)  # mostly a new one
        if not local or any(t is new for t in self.outputs):
            for producer in list(old.inputs):
                _detach(producer.outputs, old)
            list.clear(old.inputs)
            name = self.fresh_name(f"{old.name}/Identity")
            self.nodes.append(gs.Node("Identity", name, inputs=[new], outputs=[old]))
            return
        old.name, new.name = new.name, old.name
        for index, tensor in enumerate(self.outputs):
            if tensor is old:
                self.outputs[index] = new
        # What the file declares about the output belongs to the output, whoever makes it.
        old.__dict__["origin"], origin = new.__dict__.get("origin"), old.__dict__.get("origin")
        if old.__dict__["origin"] is None:
            del old.__dict__["origin"]
        if origin is not None:
            new.__dict__["origin"], new.dtype, new.shape = origin, old.dtype, old.shape

    def name_nodes(self) -> None:
        """Give a name of its own to every node of ONNX's own that has none or another one's, in bodies too."""
        taken: set[str] = set()
        for node in (node for part in (self, *self.bodies()) for node in part.nodes):
            if operator(node) and (not node.name or node.name in taken):
                node.name = self.fresh_name(f"{first_name(node)}/{node.op}")
            taken.add(node.name)

    def remove_dead(self) -> int:
        """Remove nodes that reach no output, here and in every subgraph; their count.

        Initialisers that nothing reads go too; inputs and optional outputs stay.
        """
        self._by_name = {}
        return sum(map(_remove_dead, (self.gs, *(() if self.is_function else self.gs.functions))))

    def remove_nodes(self, nodes: Sequence[gs.Node]) -> None:
        """Remove nodes of this graph whose outputs nobody reads any more."""
        gone = {id(node) for node in nodes}
        _disconnect(list(nodes))
        self.gs.nodes[:] = [node for node in self.nodes if id(node) not in gone]

    def set_metadata(self, key: str, value: str) -> None:
        """Set one entry of the model's metadata_props."""
        for entry in self.envelope.metadata_props:
            if entry.key == key:
                entry.value = value
                return
        self.envelope.metadata_props.add(key=key, value=value)

    def import_domain(self, domain: str, version: int) -> None:
        """Import an operator domain, or another version of one that is imported already."""
        if domain in DEFAULT_DOMAINS:
            self.gs.opset = version
        for entry in self.envelope.opset_import:
            if entry.domain == domain or {entry.domain, domain} <= set(DEFAULT_DOMAINS):
                entry.version = version
                return
        self.envelope.opset_import.add(domain=domain, version=version)

    def add_function(self, proto: FunctionProto) -> None:
        """Add a model-local function in place of one of the same domain and name, at an IR version that has these."""
        envelope = self.root.envelope
        envelope.ir_version = max(envelope.ir_version, FIRST_IR_WITH_FUNCTIONS)
        if all(function.__dict__.get("source") is not proto for function in self.root.gs.functions):
            self.drop_function(proto.domain, proto.name)
            self.root.gs.functions.append(import_function(proto, self.opset))

    def drop_function(self, domain: str, name: str) -> None:
        """Remove a model-local function; nothing happens when there is none."""
        main = self.root.gs
        main.functions = [f for f in main.functions if f.unique_id != (domain, name)]


def as_constant(graph: Graph, tensor: gs.Tensor, value: Any) -> None:
    """Turn a computed tensor into an initialiser of ``graph``; its consumers stay, its producer goes.

    Args:
        graph: The graph that gets the initialiser; remove the producer from it next.
        tensor: A tensor that is no output of the graph.
        value: An array, or the values of another constant as they are.
    """
    for producer in list(tensor.inputs):
        _detach(producer.outputs, tensor)
    list.clear(tensor.inputs)
    tensor.__dict__.pop("origin", None)
    tensor.to_constant(value)
    graph.constants.append(tensor)


def _detach(items: list[Any], item: object) -> None:
    list.__delitem__(items, next(k for k, other in enumerate(items) if other is item))


def _collect_names(graph: gs.Graph, names: set[str]) -> list[gs.Graph]:
    names.update(t.name for t in (*graph.inputs, *graph.outputs, *graph.__dict__.get("constants", ())))
    bodies = []
    for node in graph.nodes:
        names.add(node.name)
        names.update(t.name for t in (*node.inputs, *node.outputs))
        bodies += node_subgraphs(node)
    return bodies


def _remove_dead(graph: gs.Graph) -> int:
    local = {id(node): node for node in graph.nodes}
    live: set[int] = set()
    todo = [p for t in graph.outputs for p in t.inputs]
    while todo:
        node = todo.pop()
        if id(node) in live or id(node) not in local:
            continue
        live.add(id(node))
        todo.extend(p for t in (*node.inputs, *captured(node)) for p in t.inputs)
    dead = {key for key in local if key not in live}
    if dead:
        _disconnect([local[key] for key in dead])
        graph.nodes[:] = [node for node in graph.nodes if id(node) in live]
    outputs = {id(t) for t in graph.outputs}
    constants = graph.__dict__.get("constants", [])
    annotated = _annotated(graph)
    kept = [c for c in constants if c.outputs or id(c) in outputs or c.name in annotated]
    removed = len(dead) + len(constants) - len(kept)
    constants[:] = kept
    return removed + sum(_remove_dead(body) for node in graph.nodes for body in node_subgraphs(node))


def _annotated(graph: gs.Graph) -> set[str]:
    """Names of the tensors that annotations of the graph refer to, as to the scale of a quantised one."""
    notes = getattr(graph.__dict__.get("origin"), "quantization_annotation", ())
    return {entry.value for note in notes for entry in note.quant_parameter_tensor_names}


def _disconnect(nodes: list[gs.Node]) -> None:
    """Take dead nodes, and those inside them, out of the consumers of what they read; linear."""
    for node in nodes:  # grows while it is walked
        nodes.extend(inner for body in node_subgraphs(node) for inner in body.nodes)
    gone = {id(node) for node in nodes}
    for tensor in {id(t): t for node in nodes for t in node.inputs}.values():
        kept = [n for n in tensor.outputs if id(n) not in gone]
        list.__setitem__(tensor.outputs, slice(None), kept)
