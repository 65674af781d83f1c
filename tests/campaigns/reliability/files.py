"""Ways to name files so that one of them might be lost: each output as each input, links, pipes, devices, two runs.

Every scenario is a folder with a model, its data and other inputs, one command, and what has to come of it: its exit
code, a word of its error, and which files may have changed. All others have to be what they were, byte for byte; a
model that was written has to load with its own weights; and no temporary file may lie about.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxgs_opt import cli
from tests.campaigns.reliability.corpus import seeds

NOBODY, PR_SET_DUMPABLE = 65534, 4
WEIGHTS, OTHER = bytes(range(64)), bytes(reversed(range(64)))
LONG = "n" * 250
FAST = ["--no-validate", "--lowering", "merged-gather"]
LONG_DATA = "d" * 255
"""Names as long as file systems allow, the first with its ending."""


@dataclass(frozen=True)
class Scenario:
    """One command and what has to come of it.

    Attributes:
        name: What is tried, in words.
        arguments: The command's, in a folder that `prepare` made.
        code: The exit code.
        error: A part of the error's first line.
        changed: Files that may be new or other than they were, links followed.
        models: Which of them are models, and load with their weights.
        before: What is laid out beside the inputs.
        as_nobody: Whether it runs without root's rights.
        stdout: What has to come to standard output: nothing in particular, or a model.
        after: One more look at the folder.
    """

    name: str
    arguments: tuple[str, ...]
    code: int = 2
    error: str = ""
    changed: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    before: Callable[[], object] = lambda: None
    as_nobody: bool = False
    stdout: str = ""
    after: Callable[[], bool] = lambda: True


def model(location: str | None) -> ModelProto:
    """A sampler with a weight beside it, in a file or inside."""
    made = ModelProto.FromString(seeds()["two-reads"])
    weight = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[64])
    if location is None:
        weight.raw_data = WEIGHTS
    else:
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
    made.graph.initializer.append(weight)
    made.graph.node.append(helper.make_node("Identity", ["w"], ["w_out"]))
    made.graph.output.append(helper.make_tensor_value_info("w_out", TensorProto.UINT8, [64]))
    return made


def lay_out() -> None:
    """The inputs that every scenario finds, in the folder that it runs in."""
    for folder in ("in", "out", "far"):
        Path(folder).mkdir()
    Path("in/in.onnx").write_bytes(model("w.bin").SerializeToString())
    Path("in/w.bin").write_bytes(WEIGHTS)
    Path("one.onnx").write_bytes(model(None).SerializeToString())
    Path("b.onnx").write_bytes(model(None).SerializeToString() + b"")
    Path("plan.json").write_text('{"schema_version": "1", "sites": {}, "target": "ort-cpu"}', encoding="utf-8")
    Path("ops.so").write_bytes(b"no library")
    inputs = {i.name: np.zeros([1] * 8, np.float32) for i in model(None).graph.input}
    np.savez("inputs.npz", **inputs)  # type: ignore[arg-type]


def run(one: Scenario) -> str:
    """What is wrong after a scenario; empty when nothing is."""
    home = Path.cwd()  # relative names, as users give them
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            lay_out()
            one.before()
            if one.as_nobody:
                _open_to_all()
            before = contents()
            code, out, error = _ran(one)
            return _judged(one, before, code, out, error)
        finally:
            os.chdir(home)


def contents() -> dict[str, object]:
    """What every name of the folder is: the bytes of a file, where a link leads, or the kind of anything else."""
    found: dict[str, object] = {}
    for path in sorted(Path().rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[str(path)] = f"link to {path.readlink()}"
        elif stat.S_ISREG(mode):
            found[str(path)] = path.read_bytes()
        else:
            found[str(path)] = stat.S_IFMT(mode)
    return found


def _judged(one: Scenario, before: dict[str, object], code: int, out: bytes, error: str) -> str:
    if code != one.code or one.error not in error.partition("\n")[0]:
        return f"exit code {code}: {error or out.decode(errors='replace')}"
    after = contents()
    lost = [n for n in {*before, *after} if before.get(n) != after.get(n) and not n.startswith((*one.changed, "log."))]
    if lost:
        return f"{min(lost)} has changed"
    if left := [name for name in after if name.endswith(".tmp")]:
        return f"left {left[0]}"
    if broken := [name for name in one.models if not _is_result(Path(name))]:
        return f"{broken[0]} is not the result, or does not load"
    if one.stdout == "model" and not _is_result(out):
        return "standard output is not the model alone"
    return "" if one.after() else "what was to be kept has changed"


def _is_result(found: Path | bytes) -> bool:
    """Whether it is a model that was rewritten, with the weights that it came with."""
    try:
        made = onnx.load(found) if isinstance(found, Path) else ModelProto.FromString(found)
    except Exception:
        return False
    weights = [numpy_helper.to_array(t).tobytes() for t in made.graph.initializer if t.name == "w"]
    return weights == [WEIGHTS] and any(node.name.startswith("onnxgs/") for node in made.graph.node)


def _open_to_all() -> None:
    for path in (Path(), *Path().rglob("*")):
        path.chmod(path.stat().st_mode | (0o777 if path.is_dir() and path.name != "shut" else 0o555))


def _ran(one: Scenario) -> tuple[int, bytes, str]:
    """Run the command in a forked process, its output in files; FIFOs in the folder are read meanwhile."""
    reader, writer = os.pipe()
    taken: list[bytes] = []
    drain = threading.Thread(target=lambda: taken.append(_read_all(reader)))
    drain.start()
    child = start(list(one.arguments), writer, one.as_nobody)
    os.close(writer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    drain.join()
    return code, taken[0], Path("log.err").read_text(encoding="utf-8")


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def start(arguments: list[str], stdout: int, as_nobody: bool = False) -> int:
    """The process that runs a command; `> FILE` among its arguments is its standard output."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        if ">" in arguments:
            at = arguments.index(">")
            stdout = os.open(arguments[at + 1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            del arguments[at : at + 2]
        os.dup2(stdout, 1)
        os.dup2(os.open("log.err", os.O_WRONLY | os.O_CREAT, 0o644), 2)
        if as_nobody and os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # /dev/stdout is its own again
        for name, number in (("stdout", 1), ("stderr", 2)):
            setattr(sys, name, os.fdopen(os.dup(number), "w", encoding="utf-8"))
        if "<" in arguments:
            at = arguments.index("<")
            os.dup2(os.open(arguments[at + 1], os.O_RDONLY), 0)
            del arguments[at : at + 2]
        code = cli.main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


# -- what is laid out -----------------------------------------------------------------------------


def link(name: str, to: str) -> Callable[[], object]:
    """A symbolic link."""
    return lambda: Path(name).symlink_to(to)


def hard(name: str, to: str) -> Callable[[], object]:
    """Another name of a file."""
    return lambda: Path(name).hardlink_to(to)


def file(name: str, raw: bytes = b"somebody's", like: str = "", mode: int = 0o644) -> Callable[[], object]:
    """A file, with the times of another one."""

    def lay() -> None:
        Path(name).write_bytes(raw)
        if like:
            times = Path(like).stat()
            os.utime(name, ns=(times.st_atime_ns, times.st_mtime_ns))
        Path(name).chmod(mode)

    return lay


def sock(name: str) -> Callable[[], object]:
    """A socket with a name."""

    def lay() -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)

    return lay


def both(*parts: Callable[[], object]) -> Callable[[], object]:
    """One after the other."""
    return lambda: [part() for part in parts]


def fifo(name: str) -> Callable[[], object]:
    """A pipe with a name, and somebody who reads it into the file beside it that starts with log."""

    def lay() -> None:
        os.mkfifo(name)
        Path(name).chmod(0o666)

        def read() -> None:
            with open(name, "rb") as source:  # noqa: PTH123 - it waits for a writer
                raw = source.read()
            Path(home, "log.fifo").write_bytes(raw)

        home = Path.cwd()
        threading.Thread(target=read, daemon=True).start()

    return lay


def attributed(name: str) -> Callable[[], object]:
    """A file with a mode, and an attribute where the file system has such."""

    def lay() -> None:
        file(name, mode=0o640)()
        os.setxattr(name, "user.note", b"mine")

    return lay


def own_data(location: str, name: str = "in/in.onnx") -> Callable[[], object]:
    """The model with its data in a file of another name."""

    def lay() -> None:
        Path(name).write_bytes(model(location).SerializeToString())
        (Path(name).parent / location).write_bytes(WEIGHTS)

    return lay


# -- the scenarios --------------------------------------------------------------------------------

IN, ONE, OUT = "in/in.onnx", "one.onnx", "out/o.onnx"
OWN, PLANS, DATA = "is the model's own path", "is --plan's path too", "is a data file of the model"


def refused(name: str, *arguments: str, error: str, **more: Any) -> Scenario:
    """A command that ends with exit code 2 and changes nothing."""
    return Scenario(name, (*arguments, *(FAST[:1] if "--plan" in arguments else FAST)), error=error, **more)


def written(name: str, *arguments: str, out: str = OUT, **more: Any) -> Scenario:
    """A command that writes a model, and nothing else but what `changed` names."""
    changed = (out, *more.pop("changed", ()))
    made = {"models": (out,), "changed": changed, "code": 0, **more}
    return Scenario(name, (*arguments, *FAST), **made)


def _options_as_inputs() -> Iterator[Scenario]:
    """Each output as each input, by its own name, through a link and through a linked folder."""
    options = {"--save-plan": "x", "--report": "x.json", "--engine": "x.engine"}
    targets = {IN: OWN, "in/w.bin": DATA, "plan.json": PLANS, OUT: OWN, "out/w.bin": "is where OUT looks for its data"}
    for option, alias in options.items():
        for target, error in targets.items():
            yield refused(
                f"{option} is a link to {target}", IN, OUT, "--plan", "plan.json", option, alias,
                error=error, before=link(alias, target),
            )  # fmt: skip
    for target, error in targets.items():
        yield refused(f"--save-plan {target}", IN, OUT, "--plan", "plan.json", "--save-plan", target, error=error)
    engine = (IN, OUT, "--engine", "e", "--timing-cache")
    yield refused("--timing-cache is IN", *engine, IN, error=OWN)
    yield refused("--timing-cache is IN's data", *engine, "in/w.bin", error=DATA)
    yield refused("--timing-cache is the engine", *engine, "e", error="is --engine's path too")
    through = both(link("door", "in"))
    yield refused("--save-plan is IN through a linked folder", IN, OUT, "--save-plan", "door/in.onnx", error=OWN,
                  before=through)  # fmt: skip
    yield refused("--save-plan is IN's data through a linked folder", IN, OUT, "--save-plan", "door/../in/w.bin",
                  error=DATA, before=through)  # fmt: skip
    yield refused("--save-plan is another name of IN", IN, OUT, "--save-plan", "x", error=OWN, before=hard("x", IN))
    yield refused("--save-plan is another name of IN's data", IN, OUT, "--save-plan", "x", error=DATA,
                  before=hard("x", "in/w.bin"))  # fmt: skip
    yield refused("one file for two reports", ONE, OUT, "--report", "r.json", "--report", "./r.json",
                  error="is --report's path too")  # fmt: skip
    yield refused("one file for a plan and a report", ONE, OUT, "--save-plan", "r.json", "--report", "r.json",
                  error="path too")  # fmt: skip


def _out_as_inputs() -> Iterator[Scenario]:
    """OUT as each input, and where its data would have to lie."""
    yield refused("OUT is IN's data", IN, "in/w.bin", error=DATA)
    yield refused("OUT is a link to IN's data", IN, OUT, error=DATA, before=link(OUT, "../in/w.bin"))
    yield refused("OUT is another name of IN's data", IN, OUT, error=DATA, before=hard(OUT, "in/w.bin"))
    yield refused("OUT is --plan", ONE, "plan.json", "--plan", "plan.json", error=PLANS)
    yield refused("OUT is --inputs", ONE, "inputs.npz", "--inputs", "inputs.npz", error="is --inputs's path too")
    yield refused("OUT is --custom-ops-library", ONE, "ops.so", "--custom-ops-library", "ops.so",
                  error="is --custom-ops-library's path too")  # fmt: skip
    yield refused("OUT has the name of its data, in another folder", IN, "out/w.bin", error="looks for its data")
    yield refused("OUT's data would be another file, of one size and time", IN, OUT, error="not the data file",
                  before=file("out/w.bin", OTHER, like="in/w.bin"))  # fmt: skip
    yield refused("OUT's data would be a longer file", IN, OUT, error="not the data file",
                  before=file("out/w.bin", WEIGHTS + b"x"))  # fmt: skip
    yield refused("OUT's data would be a folder", IN, OUT, error="not the data file",
                  before=lambda: Path("out/w.bin").mkdir())  # fmt: skip
    yield written("OUT's data is there, with other times", IN, OUT, before=file("out/w.bin", WEIGHTS))
    yield written("OUT's data is a link to nothing", IN, OUT, changed=("far/w",), before=link("out/w.bin", "../far/w"),
                  after=lambda: Path("far/w").read_bytes() == WEIGHTS, models=())  # fmt: skip
    yield refused("IN's data is missing", IN, OUT, error="does not exist", before=lambda: Path("in/w.bin").unlink())
    yield written("OUT is IN", IN, IN, out=IN)
    yield written("OUT is IN through a linked folder", IN, "door/in.onnx", out=IN, before=link("door", "in"))
    yield written("OUT is another model: it is replaced, as cp does", ONE, "b.onnx", out="b.onnx")
    yield refused("three models", ONE, "b.onnx", IN, error="3 files were named")
    yield Scenario("--check with a second model", (ONE, "b.onnx", "--check", *FAST), code=1)


def _links() -> Iterator[Scenario]:
    """Symbolic links as OUT and as other outputs, other names of OUT, what a file keeps."""
    yield written(
        "OUT is a link", ONE, OUT, out="far/t.onnx", before=both(file("far/t.onnx"), link(OUT, "../far/t.onnx"))
    )
    yield written("OUT is a link to nothing yet", ONE, OUT, out="far/t.onnx", before=link(OUT, "../far/t.onnx"))
    yield written(
        "OUT is a link to a link", ONE, OUT, out="far/t", before=both(link(OUT, "l"), link("out/l", "../far/t"))
    )
    yield written("OUT is a link, with data", IN, OUT, out="far/t.onnx", changed=("far/w.bin", "out/w.bin"),
                  before=both(file("far/t.onnx"), link(OUT, "../far/t.onnx")),
                  after=lambda: _is_result(Path(OUT)))  # fmt: skip
    yield refused("OUT is a link to itself", ONE, OUT, error="cannot write", before=link(OUT, "o.onnx"))
    yield refused("OUT is a link into no folder", ONE, OUT, error="cannot write", before=link(OUT, "../absent/t"))
    yield written("OUT has another name: that keeps the old file", ONE, OUT, before=both(file("x"), hard(OUT, "x")))
    yield written("--report is a link", ONE, OUT, "--report", "r.json", changed=("far/r",),
                  before=both(file("far/r"), link("r.json", "far/r")))  # fmt: skip
    yield written("--save-plan is a link", ONE, OUT, "--save-plan", "p", changed=("far/p",), before=link("p", "far/p"))
    yield written("OUT has a mode and an attribute", ONE, OUT, before=attributed(OUT), after=lambda: (
        Path(OUT).stat().st_mode & 0o777 == 0o640 and "user.note" in os.listxattr(OUT)))  # fmt: skip
    yield written("OUT has an owner", ONE, OUT, before=both(file(OUT), lambda: os.chown(OUT, NOBODY, NOBODY)),
                  after=lambda: (Path(OUT).stat().st_uid, Path(OUT).stat().st_gid) == (NOBODY, NOBODY))  # fmt: skip


def _streams() -> Iterator[Scenario]:
    """What is no regular file: streamed to or refused, and never replaced."""
    yield Scenario("OUT is -", (ONE, "-", *FAST), 0, stdout="model")
    yield Scenario("OUT is /dev/stdout", (ONE, "/dev/stdout", *FAST), 0, stdout="model")
    yield Scenario("IN and OUT are -", ("-", "-", "<", ONE, *FAST), 0, stdout="model")
    yield Scenario(
        "OUT is a link to /dev/stdout", (ONE, "o", *FAST), 0, stdout="model", before=link("o", "/dev/stdout")
    )
    yield written("OUT is -, standard output a file", ONE, "-", ">", OUT)
    yield written("OUT is what standard output is", ONE, OUT, ">", OUT)
    yield refused("OUT is -, with data", IN, "-", error="takes one file")
    yield refused("OUT and a plan are -", ONE, "-", "--save-plan", "/dev/stdout", error="path")
    yield Scenario("OUT is /dev/null", (ONE, "/dev/null", *FAST), 0, after=lambda: Path("/dev/null").is_char_device())
    yield Scenario("--save-plan is /dev/null", (ONE, OUT, *FAST, "--save-plan", "/dev/null"), 0, changed=(OUT,),
                   models=(OUT,),
                   after=lambda: Path("/dev/null").is_char_device())  # fmt: skip
    yield refused("OUT is /dev/full", ONE, "/dev/full", error="cannot write /dev/full: No space left")
    yield Scenario("OUT is a pipe with a name", (ONE, "p", *FAST), 0, before=fifo("p"))
    yield refused("OUT is a socket", ONE, "s", error="no file, pipe or device", before=sock("s"))
    yield refused("OUT is a folder", ONE, "far", error="is a folder")
    yield refused("--report is a folder", ONE, OUT, "--report", "r.json", error="is a directory",
                  before=lambda: Path("r.json").mkdir())  # fmt: skip


def _names_and_rights() -> Iterator[Scenario]:
    """Names as long as they may be, and what may not be written."""
    yield written("OUT has 255 bytes", ONE, f"out/{LONG}.onnx", out=f"out/{LONG}.onnx")
    wide = "\U0001f5bc" * 62 + ".onnx"
    yield written("OUT has 253 bytes of 67 letters", ONE, f"out/{wide}", out=f"out/{wide}")
    yield refused("OUT has 256 bytes", ONE, f"out/{LONG}m.onnx", error="File name too long")
    yield written("a report and a plan have 255 bytes", ONE, OUT, "--report", f"{LONG}.json", "--save-plan", "p" * 255,
                  changed=(LONG, "p" * 255))  # fmt: skip
    yield written("data has 255 bytes", IN, OUT, changed=(f"out/{LONG_DATA}",), before=own_data(LONG_DATA))
    yield written("OUT and its data begin alike", IN, f"out/{LONG}.onnx", out=f"out/{LONG}.onnx",
                  changed=(f"out/{LONG}.data",), before=own_data(f"{LONG}.data"))  # fmt: skip
    yield refused("OUT is read-only", ONE, OUT, error="read-only", before=file(OUT, mode=0o444), as_nobody=True)
    yield refused("--report is read-only", ONE, OUT, "--report", "r.json", error="read-only",
                  before=file("r.json", mode=0o444), as_nobody=True)  # fmt: skip
    yield refused("OUT's folder is read-only", ONE, "shut/o.onnx", error="cannot write into shut", as_nobody=True,
                  before=lambda: Path("shut").mkdir())  # fmt: skip
    yield refused("OUT's folder is absent", ONE, "absent/o.onnx", error="cannot write into absent")


def prepare() -> None:
    """Run once, so that every child finds imported what a run imports: without rights it may read no code."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        path = Path(name) / "in.onnx"
        path.write_bytes(model(None).SerializeToString())
        assert cli.main([str(path), str(path), *FAST]) == 0


def scenarios() -> list[Scenario]:
    """All of them."""
    parts = (_options_as_inputs, _out_as_inputs, _links, _names_and_rights)
    without_rights = (replace(one, as_nobody=True) for one in _streams())  # a fault must not cost a machine its devices
    return [*(each for part in parts for each in part()), *without_rights]


def main() -> dict[str, str]:
    """What is wrong, by the scenario's name; an empty text where nothing is."""
    prepare()
    return {one.name: run(one) for one in scenarios()}


if __name__ == "__main__":
    for title, wrong in main().items():
        sys.stdout.write(f"{'ok' if not wrong else 'BROKEN'} {title} {wrong}\n")
