"""Faults of the machine while a model is saved: the process killed, interrupted, out of space, not alone.

Every trial runs the command line in a child process. Afterwards OUT has to be the file that was there or the complete
new one, its data with it; IN and its data what they were; and no temporary file may lie about, but after SIGKILL. The
next run has to succeed and to remove what a killed one left.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import onnx
from onnx import ModelProto, TensorProto, helper

from onnxgs_opt import cli
from onnxgs_opt.files import atomic
from onnxgs_opt.ir import files as storage
from tests.campaigns.reliability.corpus import seeds

MODEL_BYTES, DATA_BYTES = 1 << 20, 8 << 20
"""Enough that a save takes a while at each of its steps."""
FILES = 3
NOBODY = 65534


@dataclass
class Scene:
    """A folder with IN and its data, another one with an old OUT and its data, and what all of it was."""

    folder: Path
    arguments: list[str]
    before: dict[str, bytes]
    new: dict[str, bytes]

    @property
    def out(self) -> Path:
        return Path(self.arguments[1])


@dataclass
class Tally:
    """How many faults were injected and what they came to; `broken` says what must not have been."""

    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"faults": sum(self.outcomes.values()), "outcomes": dict(self.outcomes), "broken": self.broken}


@cache
def _model(kind: str) -> tuple[ModelProto, dict[str, bytes]]:
    """A sampler with weights in it and in other files; the names and bytes of the files."""
    model = ModelProto.FromString(seeds()["two-reads"])
    numbers = random.Random(kind)
    files: dict[str, bytes] = {}
    inside = TensorProto(name="inside", data_type=TensorProto.UINT8, dims=[MODEL_BYTES])
    inside.raw_data = numbers.randbytes(MODEL_BYTES)
    model.graph.initializer.append(inside)
    for k in range(FILES if kind != "old" else 1):
        location = f"{kind}/{k}.weights" if k else f"{kind}.weights"
        tensor = TensorProto(name=f"w{k}", data_type=TensorProto.UINT8, dims=[DATA_BYTES // FILES])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        model.graph.initializer.append(tensor)
        files[location] = numbers.randbytes(DATA_BYTES // FILES)
    for tensor in list(model.graph.initializer)[-1 - len(files) :]:
        model.graph.output.append(helper.make_tensor_value_info(f"{tensor.name}_out", TensorProto.UINT8, None))
        model.graph.node.append(helper.make_node("Identity", [tensor.name], [f"{tensor.name}_out"]))
    return model, files


def _write(path: Path, kind: str) -> None:
    model, files = _model(kind)
    onnx.save(model, path)
    for name, raw in files.items():
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_bytes(raw)


@contextlib.contextmanager
def scene(where: Path | None = None, *, old: bool = True, in_place: bool = False) -> Iterator[Scene]:
    """A fresh scene: OUT in another folder, there already or not, or IN itself."""
    with tempfile.TemporaryDirectory(dir=where) as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        path, out = folder / "in" / "in.onnx", folder / "out" / "out.onnx"
        _write(path, "new")
        if old:
            _write(out, "old")
        arguments = [str(path), str(path if in_place else out), "--no-validate", "--lowering", "merged-gather", "-q"]
        made = Scene(folder, arguments, _files(folder), {})
        made.new = _result(in_place, old)
        yield made


@cache
def _result(in_place: bool, old: bool) -> dict[str, bytes]:
    """What the files of a scene are after a run without a fault."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("in", "out"):
            (folder / part).mkdir()
        path, out = folder / "in" / "in.onnx", folder / "out" / "out.onnx"
        _write(path, "new")
        if old:
            _write(out, "old")
        target = path if in_place else out
        assert _quiet([str(path), str(target), "--no-validate", "--lowering", "merged-gather", "-q"]) == 0
        return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _quiet(arguments: list[str]) -> int:
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(sink))
        stack.enter_context(contextlib.redirect_stderr(sink))
        return cli.main(arguments)


def judge(made: Scene, killed: bool) -> str:
    """What is wrong with the files of a scene; empty when nothing is."""
    after = _files(made.folder)
    temporary = [name for name in after if name.endswith(".tmp")]
    if temporary and not killed:
        return f"left {temporary[0]}"
    out = str(made.out.relative_to(made.folder))
    for name, raw in made.before.items():
        if name != out and after.get(name) != raw:
            return f"{name} has changed"
    found = after.get(out)
    if found is not None and found == made.new[out]:
        missing = [name for name in made.new if after.get(name) != made.new[name]]
        return f"OUT is new and {missing[0]} is not" if missing else ""
    if found != made.before.get(out):
        return "OUT is neither the old file nor the new one"
    extra = [name for name in after if name not in made.before and name not in made.new and name not in temporary]
    if extra or (not killed and set(after) != set(made.before)):
        return f"left {(extra or sorted(set(after) - set(made.before)))[0]}"
    return ""


def again(made: Scene) -> str:
    """What is wrong after the next run, which has to make OUT and remove what was left."""
    if code := _in_child(lambda: _quiet(made.arguments)):
        return f"the next run ended with {code}"
    return "" if _files(made.folder) == made.new else "the next run left something or made something else"


def _in_child(work: Callable[[], int]) -> int:
    """The exit code of a piece of work in a forked process; the negative signal number when one ended it."""
    child = os.fork()
    if not child:
        code = 70
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- the faults -----------------------------------------------------------------------------------


def random_kills(count: int, seed: int = 0) -> Tally:
    """SIGKILL at random moments of a save; kills that came too late are not counted."""
    tally, rng = Tally(), random.Random(seed)
    longest = 0.0
    while sum(tally.outcomes.values()) < count:
        kind = rng.choice(({"old": True}, {"old": False}, {"in_place": True}))
        with scene(**kind) as made:
            if not longest:
                longest = _killed_after(made, 60.0)[1]
                continue
            landed, _ = _killed_after(made, rng.random() * longest)
            if landed:
                _count(tally, made, killed=True)
    return tally


def _killed_after(made: Scene, delay: float) -> tuple[bool, float]:
    """Kill a run `delay` seconds after its save began; whether it was still saving, and how long it saved."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        save = storage.write_model

        def announced(*arguments: Any) -> None:
            os.write(writer, b"s")
            save(*arguments)
            os.write(writer, b"e")

        from onnxgs_opt.ir import graph

        graph.write_model = announced  # type: ignore[assignment]
        try:
            _quiet(made.arguments)
        finally:
            os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    start = time.perf_counter()
    while time.perf_counter() - start < delay:
        time.sleep(0.0002)
        if os.waitpid(child, os.WNOHANG)[0]:
            os.close(reader)
            return False, time.perf_counter() - start
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    ended = os.read(reader, 1) == b"e"
    os.close(reader)
    return not ended, delay


def at_every_line(fault: str, stride: int = 1, **kind: bool) -> Tally:
    """A "kill" or an "interrupt" before each line of `SAVING`'s modules that a save executes, or each `stride`-th."""
    tally = Tally()
    for step in range(0, 10_000, stride):
        with scene(**kind) as made:
            code = _in_child(lambda made=made, step=step: _stepped(made.arguments, step, fault))  # type: ignore[misc]
            if code == 0:
                return tally
            expected = -signal.SIGKILL if fault == "kill" else cli.INTERRUPTED
            if code != expected:
                tally.broken.append(f"{fault} at step {step}: exit code {code}")
            _count(tally, made, killed=fault == "kill")
    raise AssertionError("a save has no end")


def _stepped(arguments: list[str], step: int, fault: str) -> int:
    """Run the command and inject the fault before line `step` of the save."""
    left = step

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in SAVING or frame.f_code.co_name in _NOT_SAVING:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                if fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        return _quiet(arguments)
    finally:
        sys.settrace(None)


SAVING = frozenset((storage.__file__, atomic.__file__))
_NOT_SAVING = frozenset(("read_model", "parsed", "_refusal", "_read", "reason_of"))


def disk_full(steps: int, **kind: bool) -> Tally:
    """No file may grow beyond a limit, at `steps` limits from nothing to what a save needs."""
    tally = Tally()
    most = max(MODEL_BYTES, DATA_BYTES // FILES) + (1 << 16)
    for k in range(steps):
        with scene(**kind) as made:
            limit = most * k // steps
            code = _in_child(lambda made=made, limit=limit: _limited(made.arguments, limit))  # type: ignore[misc]
            _expect(tally, code, (0, 2), f"a limit of {limit} bytes")
            _count(tally, made)
    return tally


def _limited(arguments: list[str], limit: int) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return _quiet(arguments)


def no_space(sizes: int) -> Tally | None:
    """A file system that fills up, at several sizes; None where none may be mounted here."""
    tally = Tally()
    need = MODEL_BYTES + DATA_BYTES + (1 << 20)
    with tempfile.TemporaryDirectory() as name:
        mounted = Path(name)
        for k in range(sizes):
            options = ["mount", "-t", "tmpfs", "-o", f"size={max(1 << 16, need * k // sizes)}", "tmpfs", str(mounted)]
            if subprocess.run(options, capture_output=True, check=False).returncode:
                return None
            try:
                with scene(old=False) as made:
                    made.arguments[1] = str(mounted / "out.onnx")
                    code = _in_child(lambda made=made: _quiet(made.arguments))  # type: ignore[misc]
                    _expect(tally, code, (0, 2), f"a disk of {need * k // sizes} bytes")
                    names = sorted(str(p.relative_to(mounted)) for p in mounted.rglob("*"))
                    complete = ["new", "new.weights", "new/1.weights", "new/2.weights", "out.onnx"]
                    tally.outcomes["OUT is new" if code == 0 else "OUT is old"] += 1
                    if names != (complete if code == 0 else []):
                        tally.broken.append(f"exit code {code} and files {names}")
            finally:
                subprocess.run(["umount", str(mounted)], check=True)
    return tally


def read_only(**kind: bool) -> Tally:
    """OUT's folder, or the folder of its data alone, may not be written."""
    tally = Tally()
    for closed in ("out", "out/new"):
        with scene(**kind) as made:
            for path in (made.folder, *made.folder.rglob("*")):
                path.chmod(0o777 if path.is_dir() else 0o666)
            (made.folder / closed).mkdir(exist_ok=True)
            (made.folder / closed).chmod(0o555)
            code = _in_child(lambda made=made: _as_nobody(made.arguments))  # type: ignore[misc]
            (made.folder / closed).chmod(0o777)
            _expect(tally, code, (2,), f"{closed} read-only")
            _count(tally, made)
    return tally


def _as_nobody(arguments: list[str]) -> int:
    if os.getuid() == 0:  # nothing is read-only to root
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return _quiet(arguments)


def two_at_once(count: int) -> Tally:
    """Several runs that write one OUT at the same time, all of which have to succeed."""
    tally = Tally()
    for k in range(count):
        with scene(old=bool(k % 2)) as made:
            children = [_started(made.arguments) for _ in range(3)]
            for child in children:
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                _expect(tally, code, (0,), "three runs at once")
            _count(tally, made)
    return tally


def rivals(count: int) -> Tally:
    """Two models with other data of one name, written into one folder at once: each OUT that is there has its own."""
    tally = Tally()
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            folder, children = Path(name), {}
            (folder / "out").mkdir()
            for kind in ("one", "two"):
                (folder / kind).mkdir()
                model, files = _model("new")
                onnx.save(model, folder / kind / "in.onnx")
                for location, raw in files.items():
                    (folder / kind / location).parent.mkdir(exist_ok=True)
                    (folder / kind / location).write_bytes(raw if kind == "one" else raw[::-1])
                arguments = [str(folder / kind / "in.onnx"), str(folder / "out" / f"{kind}.onnx"), "--no-validate"]
                children[kind] = _started([*arguments, "-q", "--lowering", "merged-gather"])
            codes = {k: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for k, child in children.items()}
            if sorted(codes.values()) != [0, 2]:
                tally.broken.append(f"exit codes {codes}")
                continue
            winner = next(kind for kind, code in codes.items() if code == 0)
            wanted = {f"out/{winner}.onnx", *(f"out/{location}" for location in files)}
            found = _files(folder)
            if {n for n in found if n.startswith("out/")} != wanted:
                tally.broken.append("the one that was refused left something")
            if any(found[f"out/{location}"] != found[f"{winner}/{location}"] for location in files):
                tally.broken.append("OUT has the other model's data")
            tally.outcomes["OUT is new"] += 1
    return tally


def _started(arguments: list[str]) -> int:
    child = os.fork()
    if not child:
        code = 70
        try:
            code = _quiet(arguments)
        finally:
            os._exit(code)
    return child


def interrupts(count: int, seed: int = 0) -> Tally:
    """SIGINT at random moments of the whole command, from its start to its end."""
    tally, rng = Tally(), random.Random(seed)
    command = [sys.executable, "-m", "onnxgs_opt"]
    longest = 0.0
    while sum(tally.outcomes.values()) < count:
        with scene() as made:
            start = time.perf_counter()
            process = subprocess.Popen([*command, *made.arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if not longest:
                process.communicate()
                longest = time.perf_counter() - start
                continue
            time.sleep(longest * rng.uniform(0.4, 1))
            process.send_signal(signal.SIGINT)
            error = process.communicate()[1].decode()
            code = process.returncode
            # Before the command begins and when it is through, Python ends by the signal, or with its traceback.
            pythons_own = code == -signal.SIGINT or (code == 1 and "KeyboardInterrupt" in error)
            _expect(tally, 130 if pythons_own else code, (0, 130), f"Ctrl-C: {error[-200:]}")
            _count(tally, made)
    return tally


def _expect(tally: Tally, code: int, allowed: tuple[int, ...], what: str) -> None:
    if code not in allowed:
        tally.broken.append(f"{what}: exit code {code}")


def _count(tally: Tally, made: Scene, killed: bool = False) -> None:
    found = made.out.read_bytes() if made.out.exists() else None
    new = found == made.new[str(made.out.relative_to(made.folder))]
    tally.outcomes["OUT is new" if new else "OUT is old"] += 1
    if wrong := judge(made, killed) or again(made):
        tally.broken.append(wrong)


KINDS: dict[str, dict[str, bool]] = {
    "OUT new": {"old": False},
    "OUT replaced": {"old": True},
    "IN replaced": {"in_place": True},
}


def campaigns(quick: bool = False) -> dict[str, Tally | None]:
    """Every fault; a sample of each when `quick`."""
    scale = 10 if quick else 1
    found: dict[str, Tally | None] = {"SIGKILL at random moments of a save": random_kills(200 // scale)}
    for name, kind in KINDS.items():
        found[f"SIGKILL before every line of a save, {name}"] = at_every_line("kill", scale, **kind)
        found[f"Ctrl-C before every line of a save, {name}"] = at_every_line("interrupt", scale, **kind)
        found[f"file size limit, {name}"] = disk_full(40 // scale, **kind)
    found["disk full"] = no_space(20 // scale)
    found["folder read-only"] = read_only(old=False)
    found["three runs on one OUT at once"] = two_at_once(20 // scale)
    found["two models with data of one name at once"] = rivals(20 // scale)
    found["SIGINT at random moments of the command"] = interrupts(20 // scale)
    return found


if __name__ == "__main__":
    for title, result in campaigns(quick="--quick" in sys.argv).items():
        sys.stdout.write(f"{title}: {'not possible here' if result is None else result.to_json()}\n")
        sys.stdout.flush()
