"""What to say where click refuses an argument: its message, and the hint of what was probably meant."""

from __future__ import annotations

import click

LOOK_IT_UP = "onnxgs-opt --help lists the options"
MEANT = {
    ("format", "html"): "stdout carries no HTML: --report FILE.html writes it",
    ("format", "md"): "did you mean --format markdown",
    ("target", "cpu"): "did you mean --target ort-cpu",
    ("target", "cuda"): "did you mean --target ort-cuda, or tensorrt",
    ("target", "gpu"): "did you mean --target ort-cuda, or tensorrt",
    ("target", "trt"): "did you mean --target tensorrt",
    ("lowering", "gridsample"): "did you mean --lowering grid-sample",
    ("lowering", "none"): "did you mean --lowering keep",
}
"""By option and value, what it is called here."""


def said_of(error: click.ClickException) -> tuple[str, str]:
    """The message and the hint of what click refused."""
    match error:
        case click.NoSuchOption(option_name="-o" | "--out" | "--output"):
            return error.message, "OUT needs no option: onnxgs-opt IN.onnx OUT.onnx"
        case click.BadParameter(param=click.Parameter(name=str(name), type=click.Choice(choices=choices))):
            value = error.message.partition("' ")[0].strip("'")
            return error.format_message(), MEANT.get((name, value.lower()), f"one of {', '.join(choices)}")
    return error.format_message(), LOOK_IT_UP
