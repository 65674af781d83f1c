"""What is said on stderr beside the result: lines, and what the library warns of."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click


def tell(line: str) -> None:
    """Print a line to stderr; that nobody takes it changes nothing."""
    with suppress(OSError):
        click.echo(line, err=True)


class _Warnings(logging.Handler):
    """Prints what the library warns of to stderr, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one; names in it come from the file."""
        from onnxgs_opt.report.rendering.words import printable

        tell(f"warning: {printable(record.getMessage())}")


@contextmanager
def warnings_told() -> Iterator[None]:
    """Print what the library warns of; each process has to do that for itself."""
    handler, logger = _Warnings(logging.WARNING), logging.getLogger("onnxgs_opt")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
