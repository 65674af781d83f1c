"""The model that results are compared with, and where those run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime import Loaded, Runtime
from onnxgs_opt.runtime.ort import Session, open_session
from onnxgs_opt.validation.double_precision import in_double
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.moved import Moved, with_moved

THREADS = 2


@dataclass
class Original:
    """The model that results are compared with; each of its sessions is opened when it is first needed.

    Results run in `runtime`, and in onnxruntime on a CPU where that is None, as the original always does.
    Where it `keeps`, what it made of inputs serves one result after another: then the same `Run` has to come again.
    `moved` says of tensors by name what a result may make them off by.
    """

    model: ModelProto
    folder: Path | None = None
    custom_ops: Sequence[str] = ()
    keeps: bool = False
    moved: Mapping[str, Moved] = field(default_factory=dict)
    runtime: Runtime | None = None
    _made: dict[int, tuple[Run, list[Any]]] = field(default_factory=dict, repr=False)

    def on(self, runtime: Runtime | None) -> Original:
        """The same whose results run there; what it made of inputs serves both."""
        return self if runtime is self.runtime else replace(self, runtime=runtime)

    @cached_property
    def session(self) -> Session:
        """Without graph optimisations: what it computes is the reference."""
        return open_session(self.model, self.folder, self.custom_ops, optimise=False, threads=THREADS)

    @cached_property
    def optimised(self) -> Loaded:
        """As results run: with graph optimisations, and where they run."""
        return self.loaded(self.model, self.folder)

    @cached_property
    def exact(self) -> Session | None:
        """In double precision, None where that does not load."""
        try:
            return open_session(in_double(self.model), None, self.custom_ops, optimise=False, threads=THREADS)
        except (RunError, ValueError):  # onnxruntime lacks some operators in double; weights outside stay as they are
            return None

    @cached_property
    def beside(self) -> Session | None:
        """With its `moved` tensors off by what they may be; None where it has none of them."""
        model = with_moved(self.model, self.moved)
        return model and open_session(model, self.folder, self.custom_ops, optimise=False, threads=THREADS)

    def loaded(self, model: ModelProto, folder: Path | None) -> Loaded:
        """A result, where results run."""
        if self.runtime is not None:
            return self.runtime.load(model, folder, self.custom_ops)
        return open_session(model, folder, self.custom_ops, threads=THREADS)

    @property
    def there(self) -> str:
        """Where results run, as words that end a sentence; "" for the reference's own place."""
        return "" if self.runtime is None else f" on {self.runtime.name}"

    def outputs(self, run: Run) -> list[Any]:
        """What it makes of inputs."""
        if id(run) in self._made:
            return self._made[id(run)][1]
        made: list[Any] = self.session.run(None, run.feeds)
        if self.keeps:
            self._made[id(run)] = run, made  # holds the run, so that its id stays its own
        return made
