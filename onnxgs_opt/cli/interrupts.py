"""Ctrl-C, whatever a library makes of it.

A library that is being loaded at that moment tells of an error of its own: pybind11 raises ImportError ("initialization
failed"), numpy one without a cause; onnx ends the process. So what is being loaded is loaded first, and it is
remembered that the key was pressed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S, LONGEST_S = 0.05, 5.0
"""How soon it is looked again whether something is being loaded, and how long that may take."""

_pressed: list[float] = []


@contextmanager
def remembered() -> Iterator[None]:
    """Remember Ctrl-C from here on; it raises KeyboardInterrupt as ever, but not while something is imported.

    Nothing changes where signals are another's: in a thread, or where who started the program ignores or takes them.
    """
    _pressed.clear()
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
    _pressed.append(time.monotonic())
    if _is_loading(frame) and _pressed[-1] - _pressed[0] < LONGEST_S and hasattr(signal, "pthread_kill"):
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.get_ident(), number))
        again.daemon = True
        again.start()
        return
    signal.default_int_handler(number, frame)


def _is_loading(frame: FrameType | None) -> bool:
    """Whether a module is imported in a frame or in one that called it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed: then any error may come of that."""
    return bool(_pressed)


def raise_if_pressed() -> None:
    """Raise KeyboardInterrupt instead of an error that is being handled, if Ctrl-C was pressed."""
    if was_pressed():
        raise KeyboardInterrupt
