"""Calls that are given up: nothing of them runs on, neither beside the next one nor at the end of the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.timing import CALLS, Call, SlowError, Stops, is_running, run_within

ENDLESS = """<ir_version: 8, opset_import: ["": 17]> g (int64 n, bool go, float[8] x) => (float[8] y) {
    y = Loop (n, go, x) <body = b (int64 i, bool c, float[8] a) => (bool d, float[8] s) {
        d = Identity (c)
        s = Sin (a)
    }>
}"""


def endless() -> Call:
    feeds = {"n": np.array(10**12), "go": np.array(True), "x": np.ones(8, np.float32)}
    return runtime_of("ort-cpu").prepare(parser.parse_model(ENDLESS), feeds)


def long() -> Call:
    """A minute of OpenVINO, which stops between nodes only."""
    products = "\n".join(f"y{i + 1} = MatMul (y{i}, x)" for i in range(1000))
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[999,999] x) => (float[999,999] y1000) {{
        y0 = Abs (x) {products}
    }}"""
    return runtime_of("openvino").prepare(parser.parse_model(text), {"x": np.ones((999, 999), np.float32)})


@pytest.mark.parametrize(
    "made",
    [
        endless,
        pytest.param(long, marks=pytest.mark.skipif(not find_spec("openvino"), reason="openvino is not installed")),
    ],
)
def test_what_is_too_slow_is_stopped(made: Callable[[], Call]) -> None:
    call = made()
    assert isinstance(call, Stops)
    with pytest.raises(SlowError, match=r"longer than 0\.2 s"):
        run_within(call, 0.2)
    assert ended()


def ended() -> bool:
    """Whether no call runs, or the thread of one is just about to end."""
    for thread in threading.enumerate():
        if thread.name == CALLS:
            thread.join(1)
    return not is_running()


def test_a_stopped_call_is_our_error() -> None:
    call = endless()
    assert isinstance(call, Stops)
    call.stop()
    with pytest.raises(RunError, match="terminate"):
        call()


def test_ctrl_c_stops_it() -> None:
    timer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_within(endless(), 60)
    timer.join()
    assert ended()


SCRIPT = """
import sys, threading, time
from onnxgs_opt import cli
from onnxgs_opt.runtime.timing import SlowError, run_within
from tests.runtime.test_timing import endless

class Last:  # it goes when Python has begun to end its threads
    def __del__(self, sleep=time.sleep):
        sleep(1)

def main():
    call = endless()
    threading.Timer(0.5, call.stop).start()
    try:
        run_within(lambda: call.run(), 0.2)
    except SlowError:
        print("slow")
        return 7

sys.last = Last()
cli.main = main
cli.script()
"""


def test_a_call_that_does_not_stop_leaves_the_exit_code() -> None:
    """It comes back from its library when Python is at its end, which aborted the process."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "slow\n", "")
