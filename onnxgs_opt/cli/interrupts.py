"""Ctrl-C and SIGTERM, whatever a library makes of them.

A library that is being loaded at that moment tells of an error of its own: pybind11 raises ImportError ("initialization
failed"), numpy one without a cause; onnx ends the process. So what is being loaded is loaded first, and it is
remembered that the key was pressed. SIGTERM ends a run in the same way: what is half-written goes, and the processes
that were started end.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_S, LONGEST_S = 0.05, 5.0
"""How soon it is looked again whether something is being loaded, and how long that may take."""

_pressed: list[tuple[float, int]] = []
"""When, and by which signal."""

_OWN: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What the signals do where nobody has said otherwise."""


@contextmanager
def remembered() -> Iterator[None]:
    """Remember Ctrl-C and SIGTERM from here on; both raise KeyboardInterrupt, but not while something is imported.

    A second SIGTERM ends the process.

    Nothing changes where signals are another's: in a thread, or where who started the program ignores or takes them.
    """
    _pressed.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number, own in _OWN.items() if signal.getsignal(number) is own]
    for number in taken:
        signal.signal(number, _press)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, _OWN[number])


def _press(number: int, frame: FrameType | None) -> None:
    _pressed.append((time.monotonic(), number))
    if _is_loading(frame) and _pressed[-1][0] - _pressed[0][0] < LONGEST_S and hasattr(signal, "pthread_kill"):
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.get_ident(), number))
        again.daemon = True
        again.start()
        return
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
    signal.default_int_handler(number, frame)


@contextmanager
def held_back() -> Iterator[None]:
    """Let Ctrl-C wait; processes that are started meanwhile never see it, not while Python starts in them either."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # it would let the key through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_loading(frame: FrameType | None) -> bool:
    """Whether a module is imported in a frame or in one that called it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed, or SIGTERM sent: then any error may come of that."""
    return bool(_pressed)


def was_asked_to_end() -> bool:
    """Whether SIGTERM was sent."""
    return any(number == signal.SIGTERM for _, number in _pressed)


def raise_if_pressed() -> None:
    """Raise KeyboardInterrupt instead of an error that is being handled, if Ctrl-C was pressed or SIGTERM sent."""
    if was_pressed():
        raise KeyboardInterrupt
