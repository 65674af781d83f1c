"""Every option of a run, written once: the command line, Python's parameters and the docs' tables are made of this.

A new option is a field of `Options` and a parameter of `api.optimize`; a test compares the two. Nothing large is
imported, so that --help answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.outputs import require_apart
from onnxgs_opt.options.spec import Arrays, LoweringName, Model, PathLike, Shapes, TargetName
from onnxgs_opt.options.spec import said as _said
from onnxgs_opt.options.values import codes, paths, size_in_bytes, unknown_codes, words

if TYPE_CHECKING:
    from onnx import ModelProto

AUTO: Final = "auto"
LOWERINGS = tuple(name for name in get_args(LoweringName) if name != AUTO)
TARGETS = tuple(name for name in get_args(TargetName) if ":" not in name)
ON_DEVICES = tuple(name for name in TARGETS if f"{name}:CPU" in get_args(TargetName))
"""Targets that take `:DEVICE` after their name."""
FORMATS = ("text", "json", "markdown", "sarif", "github", "junit")
ENGINE_ENDINGS = (".engine", ".trt", ".plan")
"""What nobody calls an ONNX model."""
LISTS = ("fail_on", "ignore", "avoid")
"""Options of words, with commas between."""
PRINTING = ("Output",)
"""Groups of options that only the command line has."""

MODEL = "model: A path, bytes, an ONNXProgram, an onnx_ir.Model, or a ModelProto (not to be changed afterwards)."
OUTPUT = "output: Where to write; None writes nothing. It may be the path that was read."

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """What is asked of one run; contradictions are refused when it is made.

    Raises:
        UsageError: Options that contradict each other, a value that is none, or a path that cannot be written.
    """

    model: Model
    output: PathLike | None = None

    # A table, kept as one. An option more is a field here and, for programs, a parameter of `optimize`.
    # fmt: off
    dry_run: bool = field(default=False, metadata=_said(
        "What to do", "--dry-run", "Report only, write no model.",
        more="An OUT that is named is not written; what `--save-plan` and `--report` name is.",
    ))
    check: bool = field(default=False, metadata=_said(
        "What to do", "--check", "As --dry-run; exit 1 when something could be optimised.",
        python='True only reports, with the status "findings" where something could be optimised.',
    ))

    require_match: int = field(default=0, metadata=_said(
        "For CI", "--require-match", "Exit 1 when fewer than N sites are found.", metavar="N", least=0,
        more="Nothing is written then.",
        python='With fewer sites than this nothing is written, and the status is "too-few".',
    ))
    min_speedup: float | None = field(default=None, metadata=_said(
        "For CI", "--min-speedup", "Exit 1 where OUT is less than X times as fast.", metavar="X", least=0,
        more="The whole model is timed before and after, as with `--bench`. Nothing is written where it is slower than "
        "that, or where it cannot be timed.",
        python='Where the result is less than so many times as fast, nothing is written, with the status "too-slow".',
    ))
    fail_on: Sequence[str] = field(default=(), metadata=_said(
        "For CI", "--fail-on", "Exit 1 where a code occurs; GSO1 is all GSO1xx.", metavar="CODE,...",
        more="Nothing is written then. Codes are those of reports: [all of them](codes.md).",
        python='Codes, or how they begin, that must not occur: the status is "findings" then, and nothing is written.',
    ))
    ignore: Sequence[str] = field(default=(), metadata=_said(
        "For CI", "--ignore", "Neither lower, report nor fail on a code.", metavar="CODE,...",
        more="Or on all that begin so. A site of such a rule stays as exported.",
        python="Codes, or how they begin, that are left out: not lowered, not reported, no reason to fail.",
    ))
    baseline: PathLike | None = field(default=None, metadata=_said(
        "For CI", "--baseline", "Fail only on what this JSON report has not.", metavar="FILE", path="in later",
        more="It is that of an earlier run: `--report FILE.json`, or for many models `--check --format json > FILE`. "
        "The model has to be named as it was then.",
        python="A JSON report of an earlier run: what it has found is no reason to fail.",
    ))

    lowering: LoweringName = field(default=AUTO, metadata=_said(
        "How to lower", "--lowering", f"{', '.join((AUTO, *LOWERINGS))}.",
        metavar="NAME", choices=(AUTO, *LOWERINGS), python='"auto" or the name of the lowering to force.',
        more="`auto` measures on the target and picks per site; a name forces one, and a site that refuses it is kept, "
        "with the reason.",
    ))
    target: TargetName | None = field(default=None, metadata=_said(
        "How to lower", "--target", f"Runtime: {', '.join(TARGETS)}.", metavar="NAME", choices=TARGETS,
        on_devices=ON_DEVICES,
        python=f'The runtime to be fast on: {", ".join(TARGETS)}; ort-cpu by default. "openvino:GPU" names a device.',
        more="It is the one to be fast on: `ort-cpu` if none is named, with `--engine` the engine's builder. Where it "
        "cannot run here, `auto` goes by recorded measurements and says so. `openvino:GPU` names one of OpenVINO's "
        "devices. [Runtimes](runtimes.md) has what wins on each.",
    ))
    plugin: bool = field(default=False, metadata=_said(
        "How to lower", "",
        'Whether the target will have the plugin for BilinearSample: "auto" may choose it then.',
    ))
    ops: bool = field(default=False, metadata=_said(
        "How to lower", "--ops", "The target will have onnxgs-ops: its operator takes part.",
        more="For onnxruntime: the library of the package [onnxgs-ops](native.md) is loaded here, `plugin` is checked "
        "and measured with it as any other lowering, and the report says how programs load it. It goes with any target "
        "that onnxruntime runs.",
        python="Whether programs will load the library of onnxgs-ops: \"auto\" measures the native operator too then.",
    ))
    avoid: Sequence[str] = field(default=(), metadata=_said(
        "How to lower", "--avoid", "Leave no operator OP in the result.", metavar="OP,...",
        more="For runtimes that lack one: `--avoid GridSample,Scan`; `@coreml` is [all that one lacks](runtimes.md). "
        "A lowering that would write it is refused, and a site that has it is lowered even where that is slower. Where "
        "it stays, the report says so ([GSO210](codes/GSO210.md)), and `--fail-on GSO210` makes that a failure.",
        python="Operators that must not stand in the result, where a lowering without them is right.",
    ))
    opset: int | None = field(default=None, metadata=_said(
        "How to lower", "--opset", "Convert the model up to opset N first.", metavar="N", least=7,
        more="With onnx's version converter: `grid-sample` needs 16. What is validated is the result against the "
        "model as it came.",
    ))
    measure: bool = field(default=True, metadata=_said(
        "How to lower", "",
        'False lets "auto" go by the recorded table, as where the target cannot run here, and in a dry run.',
    ))
    time_budget: float | None = field(default=None, metadata=_said(
        "How to lower", "--time-budget", "Begin no measurement after S seconds of them.", metavar="S", least=0,
        more="What is not measured by then goes by recorded measurements, and the report says so. Recognition and "
        "validation are not cut short.",
        python="Seconds after which \"auto\" measures no further form; None is any.",
    ))
    plan: PathLike | None = field(default=None, metadata=_said(
        "How to lower", "--plan", "Take the choices of a saved plan.", path="in",
        python="A file that an earlier run saved: its choices are taken and nothing is measured.",
        more="Nothing is measured: tuning and deploying may be separate runs.",
    ))
    save_plan: PathLike | None = field(default=None, metadata=_said(
        "How to lower", "--save-plan", "Write this run's choices.", path="out",
        more="Those of a dry run are neither measured nor checked.",
    ))
    bench: bool = field(default=False, metadata=_said(
        "How to lower", "--bench", "Time the model before and after.",
        python="True times the model before and after; `Result.race` holds the times.",
    ))
    cache: PathLike | None = field(default=None, metadata=_said(
        "How to lower", "--no-cache", "Measure anew what earlier runs have measured.",
        python="A folder to keep measurements in; None keeps none.",
    ))

    shapes: Shapes | None = field(default=None, metadata=_said(
        "Validation", "--shape", "Shape of a dynamic input; repeatable.", metavar="NAME=1x3x224x224",
        python="By input name, the sizes that validation uses for dynamic dims.",
        more="It is what validation and measuring use. `NAME=MIN,OPT,MAX` gives the smallest, the usual and the "
        "largest shape: an engine serves all between, and a sampler that is none at every size may be one at those.",
    ))
    largest: Shapes | None = field(default=None, metadata=_said(
        "Validation", "",
        "By input name, the largest sizes that dynamic dims will have; `shapes` where it says nothing.",
    ))
    smallest: Shapes | None = field(default=None, metadata=_said(
        "Validation", "",
        "By input name, the smallest sizes that an engine has to serve; `shapes` where it says nothing.",
    ))
    inputs: PathLike | Arrays | None = field(default=None, metadata=_said(
        "Validation", "--inputs", "Real inputs for the whole-model check.", metavar="FILE.npz", path="in",
        python="An .npz file with real inputs for the whole-model check, or the arrays by name.",
        more="One array an input name.",
    ))
    rtol: float | None = field(default=None, metadata=_said(
        "Validation", "--rtol", "Relative tolerance, else each lowering's own.", metavar="X", least=0,
    ))
    atol: float | None = field(default=None, metadata=_said(
        "Validation", "--atol", "Absolute tolerance, else each lowering's own.", metavar="X", least=0,
        more="With --rtol 0 as well no form may show a difference, whatever the model's own roundings are.",
    ))
    seed: int = field(default=0, metadata=_said(
        "Validation", "--seed", "Seed of generated inputs, 0 by default.", metavar="N", least=0,
    ))
    custom_ops: Sequence[PathLike] = field(default=(), metadata=_said(
        "Validation", "--custom-ops-library", "Custom operators for onnxruntime; repeatable.", metavar="FILE",
        path="in", more="A shared library of [operators that onnxruntime lacks](#operators-that-onnxruntime-lacks).",
        python="Shared libraries of operators that onnxruntime lacks; they are loaded, which runs their code.",
    ))
    validate: bool = field(default=True, metadata=_said(
        "Validation", "--no-validate", "Do not run the model before and after.", python="False skips every check."
    ))

    engine: PathLike | None = field(default=None, metadata=_said(
        "Engine", "--engine", "Build a TensorRT engine too.", path="out",
        python="Where to write a TensorRT engine of the result; None builds none.",
        more="It is written to FILE; without `--target`, its builder is the target.",
    ))
    plugin_library: PathLike | None = field(default=None, metadata=_said(
        "Engine", "--plugin-library", "What onnxgs-plugin build made.", metavar="FILE", path="in later",
        python="The library of the plugin that the engine's BilinearSample nodes need.",
        more="The `plugin` lowering's nodes need it.",
    ))
    fp16: bool = field(default=False, metadata=_said("Engine", "--fp16", "Let TensorRT before 11 compute in fp16."))
    bf16: bool = field(default=False, metadata=_said("Engine", "--bf16", "Let TensorRT before 11 compute in bf16."))
    timing_cache: PathLike | None = field(default=None, metadata=_said(
        "Engine", "--timing-cache", "Read it if it exists, write it after.", path="out",
        python="A file of the builder's measurements: read if it exists, written after.",
    ))
    workspace: str | None = field(default=None, metadata=_said(
        "Engine", "--workspace", "Most memory of a layer: 512M, 2G.", metavar="SIZE", more="With K, M or G."
    ))
    tactic_sources: str | None = field(default=None, metadata=_said(
        "Engine", "--tactic-sources", "Kernels to try besides: -CUBLAS,+CUDNN.", metavar="LIST",
        more="As trtexec's --tacticSources: each name, with its sign, is added to what the builder tries by default, "
        "or taken from it.",
    ))
    compute_capability: Sequence[str] = field(default=(), metadata=_said(
        "Engine", "--compute-capability", "GPU that TensorRT-RTX builds for; repeatable.", metavar="8.9",
        python='GPUs that TensorRT-RTX builds for, "8.9" and the like.',
    ))

    output_dir: PathLike | None = field(default=None, metadata=_said(
        "Output", "--output-dir", "Where the results of several models go.", metavar="DIR", path="folder",
        more="Models, folders (every .onnx file in them) and patterns may be named; places in a folder are kept.",
    ))
    in_place: bool = field(default=False, metadata=_said(
        "Output", "--in-place", "Write each result over its model.",
    ))
    jobs: int = field(default=1, metadata=_said(
        "Output", "--jobs", "How many of several models at once, 1 by default.", metavar="N", least=1,
        more="With more than one nothing is measured, since they would disturb each other.",
    ))
    reports: Sequence[PathLike] = field(default=(), metadata=_said(
        "Output", "--report", "Also a report: .json .md .sarif .html .xml; repeatable.", metavar="FILE", path="out",
        more="Its ending says the format: .xml is JUnit's, .html needs the extra `html`.",
    ))
    format: str = field(default="text", metadata=_said(
        "Output", "--format", f"Print {', '.join(FORMATS)}.", metavar="NAME", choices=FORMATS
    ))
    verbose: int = field(default=0, metadata=_said(
        "Output", "-v --verbose", "Say more; -vv shows an error's traceback.",
        more="More is reads, refusals, times and progress.",
    ))
    quiet: bool = field(default=False, metadata=_said("Output", "-q --quiet", "Only the last line; no progress."))
    color: bool | None = field(default=None, metadata=_said(
        "Output", "--color/--no-color", "Default: colour on a terminal, unless NO_COLOR is set."
    ))
    explain: str | None = field(default=None, metadata=_said(
        "Output", "--explain", "What a code of the report means.", metavar="[CODE]",
        more="And what to do; all codes without one.",
    ))
    compare_targets: Sequence[str] = field(default=(), metadata=_said(
        "Output", "--compare-targets", "Only a table: each lowering on each of them.", metavar="NAME,...",
        more="Milliseconds and largest differences; nothing is written. Targets that cannot run here are named.",
    ))
    command: str = field(default="", metadata=_said("Output", "", "The command line, which reports name."))
    accept: Callable[[ModelProto], None] | None = field(default=None, metadata=_said(
        "Validation", "",
        "Called with the result before anything is written; what it raises is raised, and nothing is written.",
    ))
    raise_on_mismatch: bool = field(default=False, metadata=_said(
        "Validation", "", "Raise MismatchError where the result differs, rather than say so in the report.",
    ))
    progress: Callable[[str], None] | None = field(default=None, metadata=_said(
        "Progress", "", "Called with the name of each stage."
    ))
    # fmt: on

    def __post_init__(self) -> None:
        """Refuse, before any work, what cannot be done."""
        for each in fields(self):
            self._refuse_value(each)
        self._refuse_contradictions()
        for name in ("fail_on", "ignore"):
            if unknown := unknown_codes(getattr(self, name)):
                what = f"--{name.replace('_', '-')}: there is no code {unknown[0]}"
                raise UsageError(what, "onnxgs-opt --explain lists them")
        require_apart(self.files("in"), self.files("out"))
        self.workspace_bytes()

    def _refuse_value(self, option: Field[Any]) -> None:
        value, spec = getattr(self, option.name), option.metadata.get("spec")
        if spec is None or value is None:
            return
        if not spec.allows(value):
            raise UsageError(f"no {option.name} '{value}'", f"one of {', '.join(spec.choices)}")
        if spec.least is not None and not value >= spec.least:
            raise UsageError(f"{flag(option)} {value} is no number of {spec.least} or more", "give one")
        if option.name in LISTS and value and not words(value):
            raise UsageError(f"{flag(option)} names nothing", "leave it out where nothing is meant")

    @property
    def writes(self) -> bool:
        """Whether a model is to be made, not only looked at."""
        return not (self.dry_run or self.check)

    @property
    def has_plugin(self) -> bool:
        """Whether the target will have the plugin for BilinearSample."""
        return self.plugin or self.ops or self.plugin_library is not None

    @property
    def is_timed(self) -> bool:
        """Whether the whole model has to be timed before and after."""
        return self.bench or self.min_speedup is not None

    @property
    def avoided(self) -> frozenset[str]:
        """The operators that must not stand in the result."""
        return frozenset(words(self.avoid))

    def hides(self, code: str) -> bool:
        """Whether a code is left out."""
        return code.startswith(codes(self.ignore))

    def fails_on(self, code: str) -> bool:
        """Whether a code must not occur."""
        return code.startswith(codes(self.fail_on))

    def files(self, use: Literal["in", "out"]) -> list[tuple[str, Path]]:
        """What is read or written: IN or OUT first, then what options name, each with what names it."""
        whole = {"in": ("IN", self.model), "out": ("OUT", self.output if self.writes else None)}[use]
        named = [
            (flag(each), getattr(self, each.name)) for each in OPTIONS if each.metadata["spec"].path.startswith(use)
        ]
        return [(what, Path(path)) for what, value in (whole, *named) for path in paths(value)]

    def workspace_bytes(self) -> int | None:
        """The most memory of a layer, in bytes."""
        return None if self.workspace is None else size_in_bytes("--workspace", self.workspace)

    def _refuse_contradictions(self) -> None:
        if self.engine is None:
            given = [each for each in options_of("Engine") if getattr(self, each.name)]
            if given:
                raise UsageError(f"{flag(given[0])} needs --engine FILE", "name the engine to build")
        if self.check and self.output is not None and Path(self.output).exists() and self.output != self.model:
            raise UsageError(f"--check looks at one model, and {self.output} is another file", "check one at a time")
        if self.output is not None and Path(self.output).suffix in ENGINE_ENDINGS:
            hint = f"did you mean --engine {self.output}, with an OUT.onnx beside it"
            raise UsageError(f"OUT {self.output} would be an ONNX model, not an engine", hint)
        if self.plan is not None and self.lowering != AUTO:
            raise UsageError("--plan and --lowering both say what to write", "leave one of them out")
        makes = [name for name in ("engine", "bench", "min_speedup") if getattr(self, name)]
        if makes and not self.writes:
            look = "--dry-run" if self.dry_run else "--check"
            raise UsageError(
                f"--{makes[0].replace('_', '-')} needs the new model, which {look} does not make",
                "leave one of them out",
            )


OPTIONS: tuple[Field[Any], ...] = tuple(each for each in fields(Options) if each.metadata)
"""The fields that are options, in the order of --help."""


def options_of(group: str) -> tuple[Field[Any], ...]:
    """The options of one group."""
    return tuple(each for each in OPTIONS if each.metadata["spec"].group == group)


def flag(option: Field[Any]) -> str:
    """What an option is called on the command line."""
    names: tuple[str, ...] = option.metadata["spec"].flags
    return names[-1]


def parameters() -> tuple[Field[Any], ...]:
    """The options that programs have."""
    return tuple(each for each in OPTIONS if each.metadata["spec"].group not in PRINTING)


def documented(function: F) -> F:
    """Add what each parameter means to the documentation of a function that takes the options that programs have."""
    texts = {each.name: each.metadata["spec"].python or each.metadata["spec"].help for each in parameters()}
    lines = "".join(f"        {name}: {text}\n" for name, text in texts.items())
    function.__doc__ = f"{function.__doc__}\n    Args:\n        {MODEL}\n        {OUTPUT}\n{lines}"
    return function
