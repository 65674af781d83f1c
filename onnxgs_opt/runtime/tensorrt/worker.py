"""One engine build, in a process of its own: `python -m onnxgs_opt.runtime.tensorrt.worker REQUEST.json RESULT.json`.

A builder can end its process without an exception, and TensorRT-RTX wants a library path that is read when a
process starts. `build` writes the request and reads the result: {"error", "hint", "exit_code"}, or what was built.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from onnxgs_opt.errors import EngineError, OptError, UsageError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.runtime.tensorrt.build import load_library
from onnxgs_opt.samplers.op import DOMAIN, NAMES

Request = Mapping[str, Any]
PLUGIN_TYPES = frozenset({"PLUGIN", "PLUGIN_V2", "PLUGIN_V3"})


def build(request: Request) -> dict[str, Any]:
    """Build the engine that the request describes and write it where it says."""
    trt = importlib.import_module(request["module"])
    logger = _logger(trt)
    trt.init_libnvinfer_plugins(logger, "")
    _load_plugin(trt, request)
    start = time.perf_counter()
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt))
    _parse(trt, logger, network, request)
    _count_plugins(network, request)
    config = _config(trt, builder, network, request)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"the engine was not built: {_last(logger)}", _build_hint(logger, request))
    _save_timing_cache(config, request)
    write_whole(Path(request["output"]), plan)
    return {
        "version": trt.__version__,
        "build_s": round(time.perf_counter() - start, 3),
        "layers": [_layer(network.get_layer(i)) for i in range(network.num_layers)],
        "strongly_typed": _is_strongly_typed(trt, network),
    }


def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps errors; says nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def _last(logger: Any) -> str:
    return logger.errors[-1] if logger.errors else "the builder gave no reason"


def _network_flags(trt: Any) -> int:
    """Explicit batch where it is still a choice; TensorRT 11 and RTX know strongly typed networks only."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if flag is None else 1 << int(flag)


def _is_strongly_typed(trt: Any, network: Any) -> bool:
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return not hasattr(trt.BuilderFlag, "FP16") or (flag is not None and bool(network.get_flag(flag)))


def _parse(trt: Any, logger: Any, network: Any, request: Request) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(Path(request["model"]).read_bytes(), request["origin"]):
        return
    error = parser.get_error(parser.num_errors - 1) if parser.num_errors else None
    if error is None:
        raise EngineError(f"the model does not parse: {_last(logger)}", "")
    node, op_type = _node_of(error, request["model"])
    hint = (
        "build the plugin library (onnxgs-plugin build) and name it with --plugin-library"
        if op_type in NAMES
        else "another --lowering may avoid the node; --lowering merged-gather uses the oldest operators"
    )
    raise EngineError(f"TensorRT {trt.__version__} does not take node '{node}' ({op_type}): {error.desc()}", hint)


def _node_of(error: Any, model: str) -> tuple[str, str]:
    """Name and operator of the node at fault; before TensorRT 10 the parser gives its index only."""
    if hasattr(error, "node_name") and error.node_name():
        return str(error.node_name()), str(error.node_operator())
    nodes = onnx.load(model, load_external_data=False).graph.node
    index = error.node()
    return (nodes[index].name, nodes[index].op_type) if 0 <= index < len(nodes) else (f"number {index}", "?")


def _layer(layer: Any) -> list[str]:
    return [layer.name, str(layer.type).rpartition(".")[2]]


def _load_plugin(trt: Any, request: Request) -> None:
    """Register the creator: a library's, or the one written in Python."""
    if request["library"] is not None:
        load_library(trt, Path(request["library"]))
    elif request["python_plugin"]:
        from onnxgs_opt.runtime.tensorrt.python_plugin import register

        register(trt)


def _count_plugins(network: Any, request: Request) -> None:
    """Refuse an engine in which something else than the plugin took the place of a node."""
    wanted = request["plugin_nodes"]
    kinds = [_layer(network.get_layer(i))[1] for i in range(network.num_layers)]
    found = sum(kind in PLUGIN_TYPES for kind in kinds)
    if found < wanted:
        raise EngineError(
            f"{wanted} nodes of the domain {DOMAIN} became {found} plugin layers",
            "report it with the TensorRT version; --lowering grid-sample needs no plugin",
        )


def _config(trt: Any, builder: Any, network: Any, request: Request) -> Any:
    config = builder.create_builder_config()
    if request["workspace"] is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace"])
    for name in request["precisions"]:
        flag = getattr(trt.BuilderFlag, name.upper(), None)
        if flag is None:
            raise UsageError(
                f"TensorRT {trt.__version__} has no --{name}: its networks are strongly typed",
                f"convert the model to {name} first, and leave the option out",
            )
        config.set_flag(flag)
    if not request["external_tactics"]:
        config.set_tactic_sources(0)
    _set_tactics(trt, config, request["tactics"])
    if request["profiling"]:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_profile(builder, network, config, request)
    _set_capabilities(trt, config, request)
    _set_timing_cache(config, request)
    if request["library"] is not None and request["plugin_nodes"] and hasattr(config, "plugins_to_serialize"):
        config.plugins_to_serialize = [request["library"]]
    return config


def _set_tactics(trt: Any, config: Any, wanted: list[str]) -> None:
    """Add sources of kernels to those that the builder tries, or take some from them."""
    if not wanted:
        return
    known = [name for name in dir(getattr(trt, "TacticSource", None)) if name.isupper()]
    sources = config.get_tactic_sources() if known else 0
    for each in wanted:
        sign, name = each[:1], each[1:].upper()
        if sign not in ("+", "-") or name not in known:
            hint = f"write +NAME or -NAME, of {', '.join(known)}" if known else "leave --tactic-sources out"
            raise UsageError(f"TensorRT {trt.__version__} has no source of tactics {each}", hint)
        bit = 1 << int(getattr(trt.TacticSource, name))
        sources = sources | bit if sign == "+" else sources & ~bit
    config.set_tactic_sources(sources)


def _set_profile(builder: Any, network: Any, config: Any, request: Request) -> None:
    profiles, profile = request["profiles"], builder.create_optimization_profile()
    dynamic = False
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        if -1 not in tuple(tensor.shape):
            continue
        if tensor.name not in profiles:
            raise UsageError(
                f"input '{tensor.name}' has dynamic dims and no shape for the engine",
                f"give --shape {tensor.name}=1x3x224x224, or three shapes MIN,OPT,MAX",
            )
        profile.set_shape(tensor.name, *profiles[tensor.name])
        dynamic = True
    if dynamic:
        config.add_optimization_profile(profile)


def _set_capabilities(trt: Any, config: Any, request: Request) -> None:
    """Which GPUs the engine is for, where this is no matter of the one that builds it."""
    wanted = request["capabilities"]
    if not wanted:
        return
    if not hasattr(config, "set_compute_capability"):
        raise UsageError("only TensorRT-RTX takes --compute-capability", "leave it out, or use --target tensorrt-rtx")
    config.num_compute_capabilities = len(wanted)
    for i, number in enumerate(wanted):
        capability = getattr(trt.ComputeCapability, f"SM{number.replace('.', '')}", None)
        if capability is None:
            known = [n for n in dir(trt.ComputeCapability) if n.startswith("SM")]
            raise UsageError(f"TensorRT-RTX does not know compute capability {number}", f"it knows {', '.join(known)}")
        config.set_compute_capability(capability, i)


def _set_timing_cache(config: Any, request: Request) -> None:
    if request["timing_cache"] is None:
        return
    path = Path(request["timing_cache"])
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        raise EngineError(f"{path} is no timing cache of this TensorRT", "delete it, and it is made anew")


def _save_timing_cache(config: Any, request: Request) -> None:
    cache = config.get_timing_cache() if request["timing_cache"] is not None else None
    if cache is not None:
        write_whole(Path(request["timing_cache"]), cache.serialize())


def _build_hint(logger: Any, request: Request) -> str:
    text = " ".join(logger.errors).lower()
    if "workspace" in text or "memory" in text:
        return "allow a larger --workspace, or compile the plugin with ONNXGS_NO_COPY"
    return "see the report's layer list; another --lowering may avoid the layer"


def main(request: str, result: str) -> None:
    """Build, and write what came of it."""
    try:
        outcome = build(json.loads(Path(request).read_text(encoding="utf-8")))
    except OptError as error:
        outcome = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
    Path(result).write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
