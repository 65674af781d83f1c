"""The errors a user can act on, each with the exit code that the command line gives it."""

from __future__ import annotations


class OptError(Exception):
    """Something the user can put right: what is wrong, in one line, and what to do next.

    Args:
        message: What is wrong. Line breaks are folded, so that it always prints as one line.
        hint: What to do next; empty when the message already says it.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message on one line and the hint beside it."""
        super().__init__(" ".join(message.split()))
        self.hint = " ".join(hint.split())


class UsageError(OptError):
    """The request cannot be carried out: an option, a path, a folder that cannot be written."""


class ModelError(OptError):
    """The model cannot be read, or is not a valid ONNX model."""


class RunError(OptError):
    """A runtime does not load or run a model; what it says of that."""


class MismatchError(OptError):
    """The result does not compute what the model does; nothing was written."""

    exit_code = 3


class EngineError(OptError):
    """The engine could not be built."""

    exit_code = 4
