"""The engine's options on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxgs_opt.errors import UsageError

if TYPE_CHECKING:
    from onnxgs_opt.api import Result
    from onnxgs_opt.report.model import Report
    from onnxgs_opt.runtime.tensorrt.build import Backend, EngineOptions

Shape = tuple[int, ...]
Profiles = Mapping[str, tuple[Shape, Shape, Shape]]
NAMES = ("engine_file", "plugin_library", "fp16", "bf16", "timing_cache", "workspace", "compute_capability")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_OPTIONS = (
    click.option("--engine", "engine_file", type=click.Path(dir_okay=False), help="Build a TensorRT engine too."),
    click.option("--plugin-library", type=click.Path(dir_okay=False), help="What onnxgs-plugin build made."),
    click.option("--fp16", is_flag=True, help="Let TensorRT before 11 compute in fp16."),
    click.option("--bf16", is_flag=True, help="Let TensorRT before 11 compute in bf16."),
    click.option("--timing-cache", type=click.Path(dir_okay=False), help="Read it if it exists, write it after."),
    click.option("--workspace", metavar="SIZE", help="Most memory of a layer: 512M, 2G."),
    click.option(
        "--compute-capability", multiple=True, metavar="8.9", help="GPU that TensorRT-RTX builds for; repeatable."
    ),
)


@dataclass(frozen=True)
class EngineFlags:
    """The options as given."""

    engine_file: str | None
    plugin_library: str | None
    fp16: bool
    bf16: bool
    timing_cache: str | None
    workspace: str | None
    compute_capability: tuple[str, ...]

    def target(self, named: str | None) -> str | None:
        """The runtime to be fast on: the one that was named, else with --engine the one that builds it.

        Raises:
            UsageError: No TensorRT is installed.
        """
        if named is not None or self.engine_file is None:
            return named
        from onnxgs_opt.runtime.tensorrt.build import choose_backend

        return choose_backend(None)

    def require_engine(self, source: str, output: str | None, target: str | None) -> None:
        """Refuse, before any work, what cannot be built for the target.

        Raises:
            UsageError: An option without --engine, a path that is taken, or no TensorRT.
        """
        if self.engine_file is None:
            given = [name for name in NAMES if getattr(self, name)]
            if given:
                raise UsageError(f"--{given[0].replace('_', '-')} needs --engine FILE", "name the engine to build")
            return
        from onnxgs_opt.runtime.tensorrt.build import choose_backend

        if any(other is not None and _same(other, self.engine_file) for other in (source, output)):
            raise UsageError(f"--engine {self.engine_file} is the model's own path", "give the engine another name")
        choose_backend(_backend(target))
        self._workspace()

    def add_to(self, result: Result, report: Report, source: str, profiles: Profiles, inputs: str | None) -> Report:
        """The report with the engine, where one was asked for and there is a model to build."""
        if self.engine_file is None or result.graph is None or report.exit_code:
            return report
        import onnx

        from onnxgs_opt.api import find
        from onnxgs_opt.options import read_inputs
        from onnxgs_opt.validation.check_engine import Task, checked_engine

        changed = report.status == "optimised"
        before = onnx.load(source, load_external_data=False) if changed else None
        task = Task(
            model=result.graph.to_proto(),
            before=before,
            origin=Path(source),
            inputs=read_inputs(result.graph, inputs),
            sites=[] if before is None else find(before),
        )
        engine, seconds = checked_engine(task, Path(self.engine_file), self._options(profiles, report.target))
        return replace(report, engine=engine, timings={**report.timings, "engine": seconds})

    def _options(self, profiles: Profiles, target: str) -> EngineOptions:
        from onnxgs_opt.runtime.tensorrt.build import EngineOptions, Profile

        return EngineOptions(
            backend=_backend(target),
            precisions=tuple(name for name in ("fp16", "bf16") if getattr(self, name)),
            profiles={name: Profile(*three) for name, three in profiles.items()},
            timing_cache=None if self.timing_cache is None else Path(self.timing_cache),
            workspace=self._workspace(),
            capabilities=self.compute_capability,
            library=None if self.plugin_library is None else Path(self.plugin_library),
        )

    def _workspace(self) -> int | None:
        """Bytes of --workspace, which takes K, M and G."""
        if self.workspace is None:
            return None
        found = re.fullmatch(r"(\d+)([KMG]?)i?B?", self.workspace, re.IGNORECASE)
        if found is None:
            raise UsageError(f"--workspace {self.workspace} is no size", "write it as 512M or 2G")
        return int(found[1]) * _UNITS[found[2].upper()]


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one argument, `engine`."""

    @wraps(command)
    def with_flags(**arguments: Any) -> Any:
        flags = EngineFlags(**{name: arguments.pop(name) for name in NAMES})
        return command(**arguments, engine=flags)

    decorated: Callable[..., Any] = with_flags
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _backend(target: str | None) -> Backend | None:
    """The builder for a target; None, which is any, for one that runs no engines."""
    return target if target in ("tensorrt", "tensorrt-rtx") else None  # type: ignore[return-value]


def _same(a: str, b: str) -> bool:
    return Path(a).resolve() == Path(b).resolve()
