"""Ctrl-C, whatever a library makes of it.

A library that is being loaded at that moment tells of an error of its own: pybind11 raises ImportError ("initialization
failed"), numpy one without a cause. So it is remembered that the key was pressed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PRESSED = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Remember Ctrl-C from here on; it raises KeyboardInterrupt as ever.

    Nothing changes where signals are another's: in a thread, or where who started the program ignores or takes them.
    """
    _PRESSED.clear()
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _press(number: int, frame: FrameType | None) -> None:
    _PRESSED.set()
    signal.default_int_handler(number, frame)


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed: then any error may come of that."""
    return _PRESSED.is_set()


def raise_if_pressed() -> None:
    """Raise KeyboardInterrupt instead of an error that is being handled, if Ctrl-C was pressed."""
    if was_pressed():
        raise KeyboardInterrupt
