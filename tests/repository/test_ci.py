"""What other repositories use in CI: the action's shell steps and the hook run as they stand, and fit their schemas.

They call a command whose imports are done, but for the hook, which calls the installed one too.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.prepared import prepared

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "tests" / "fixtures" / "models"
STATIC = MODELS / "masked_interior.ts17.st.onnx"
ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module", autouse=True)
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The command is on the path, before the interpreter that runs the tests."""
    folder = tmp_path_factory.mktemp("command")
    with prepared("onnxgs_opt.api", "onnxgs_opt.cli", "onnxruntime") as process, pytest.MonkeyPatch.context() as patch:
        process.program(folder / "onnxgs-opt")
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    shutil.copy(STATIC, tmp_path / "models" / "net.onnx")
    return tmp_path


def environment(workspace: Path, **more: str) -> dict[str, str]:
    """The runner's variables."""
    files = {name: str(workspace / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    return {**os.environ, "TMPDIR": str(workspace), **files, **more}


def run_step(workspace: Path, name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """One step of the action, its inputs and the action's path filled in as the runner does."""
    values = {key: str(spec.get("default", "")) for key, spec in ACTION["inputs"].items()} | inputs
    [step] = [step for step in ACTION["runs"]["steps"] if step["name"] == name]

    def filled(text: str) -> str:
        known = {f"inputs.{key}": value for key, value in values.items()} | {"github.action_path": str(REPOSITORY)}
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: known[found[1]], text)

    assert "${{" not in step["run"], "an input in a script is code: hand it over in env"
    more = {key: filled(value) for key, value in step.get("env", {}).items()}
    script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(
        script, cwd=workspace, env=environment(workspace, **more), capture_output=True, text=True, check=False
    )


def outputs(workspace: Path) -> dict[str, str]:
    path = workspace / "github_output"
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines()) if path.exists() else {}


def test_the_action_optimises_annotates_and_sums_up(workspace: Path) -> None:
    args = "--seed 3 --lowering merged-gather"
    done = run_step(workspace, "Run onnxgs-opt", model="models/net.onnx", output="out.onnx", args=args)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::notice file=models/net.onnx,title=GSO001")
    assert (workspace / "out.onnx").exists()
    assert outputs(workspace) == {"sites": "1", "report": "onnxgs-opt.sarif"}
    assert json.loads((workspace / "onnxgs-opt.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    summary = (workspace / "github_step_summary").read_text(encoding="utf-8")
    assert summary.startswith("## onnxgs-opt: PASSED `models/net.onnx`")
    assert "| reads | 4 | 1 |" in summary


def test_the_action_checks(workspace: Path) -> None:
    done = run_step(workspace, "Run onnxgs-opt", model="models/net.onnx", check="true", report="r.html")
    assert done.returncode == 1
    assert done.stdout.startswith("::warning ")
    assert outputs(workspace) == {"sites": "1", "report": "r.html"}
    assert {path.name for path in workspace.iterdir()} >= {"r.html", "models"}


@pytest.mark.parametrize("check", ["TRUE", "yes", "on", "1", "False", "off", "", "0"])
def test_every_boolean_is_understood(workspace: Path, check: str) -> None:
    """To check and to write contradict each other, before anything is run."""
    done = run_step(workspace, "Run onnxgs-opt", model="absent.onnx", check=check, output="out.onnx")
    assert done.returncode == 2
    assert ("check writes nothing" in done.stdout) == (check in ("TRUE", "yes", "on", "1"))
    assert ("absent.onnx" in done.stderr) == (check in ("False", "off", "", "0"))


@pytest.mark.parametrize(("check", "code"), [("True", 1), ("no", 0)])
def test_a_boolean_of_another_case_is_what_it_says(workspace: Path, check: str, code: int) -> None:
    done = run_step(workspace, "Run onnxgs-opt", model="models/net.onnx", check=check, report="")
    assert done.returncode == code, done.stderr
    assert outputs(workspace) == {"sites": "1", "report": ""}
    assert {path.name for path in workspace.iterdir()} == {"models", "github_output", "github_step_summary"}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"check": "maybe"}, "::error::check is true or false, not 'maybe'"),
        (
            {"check": "true", "output": "out.onnx"},
            "::error::check writes nothing: leave output and output-dir out, or check",
        ),
    ],
)
def test_the_action_refuses_what_is_not_clear(workspace: Path, inputs: dict[str, str], said: str) -> None:
    done = run_step(workspace, "Run onnxgs-opt", model="models/net.onnx", **inputs)
    assert (done.returncode, done.stdout) == (2, f"{said}\n")
    assert [path.name for path in workspace.iterdir()] == ["models"]


def test_arguments_and_models_of_several_lines(workspace: Path) -> None:
    shutil.copy(STATIC, workspace / "models" / "other net.onnx")
    inputs = {"model": "models/net.onnx\nmodels/other net.onnx\n", "args": "--seed 3\n\n  --lowering\nmerged-gather\n"}
    done = run_step(workspace, "Run onnxgs-opt", **inputs, **{"output-dir": "out", "report": "{name}.sarif"})
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (workspace / "out").iterdir()) == ["net.onnx", "other net.onnx"]
    assert outputs(workspace)["sites"] == "2"
    assert sorted(path.name for path in workspace.glob("*.sarif")) == ["models-net.sarif", "models-other net.sarif"]
    assert (workspace / "github_step_summary").read_text(encoding="utf-8").count("PASSED") == 2


def test_the_action_only_looks_without_an_output(workspace: Path) -> None:
    done = run_step(workspace, "Run onnxgs-opt", model="models/net.onnx")
    assert done.returncode == 0
    assert [path.name for path in workspace.rglob("*.onnx")] == ["net.onnx"]


def test_the_action_fails_on_too_few(workspace: Path) -> None:
    inputs = {"model": "models/net.onnx", "output": "o.onnx", "require-match": "2"}
    assert run_step(workspace, "Run onnxgs-opt", **inputs).returncode == 1
    assert not (workspace / "o.onnx").exists()


def test_the_action_says_what_is_wrong_with_a_model(workspace: Path) -> None:
    done = run_step(workspace, "Run onnxgs-opt", model="absent.onnx")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert outputs(workspace) == {}


def test_inputs_are_no_code(workspace: Path) -> None:
    name = "models/$(touch owned) `touch owned`; touch owned.onnx"
    (workspace / "models" / Path(name).name).write_bytes(STATIC.read_bytes())
    done = run_step(workspace, "Run onnxgs-opt", model=name, args="--seed $(touch${IFS}owned)")
    assert done.returncode == 2
    assert run_step(workspace, "Run onnxgs-opt", model=name).returncode == 0
    assert not (workspace / "owned").exists()


def test_the_action_installs_itself(workspace: Path) -> None:
    (workspace / "bin").mkdir()
    fake = workspace / "bin" / "python3"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    fake.chmod(0o755)
    [step] = [step for step in ACTION["runs"]["steps"] if step["name"] == "Install onnxgs-opt"]
    for wanted, expected in (("", f"{REPOSITORY}[html]"), ("onnxgs-opt==1", "onnxgs-opt==1")):
        more = {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "WANTED": wanted, "HERE": str(REPOSITORY)}
        done = subprocess.run(
            ["bash", "-c", step["run"]], env={**os.environ, **more}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[:3] == ["-m", "pip", "install"]
        assert done.stdout.splitlines()[-1] == expected


# -- pre-commit ------------------------------------------------------------------------------------


def run_hook(workspace: Path, *models: str, installed: bool = False) -> subprocess.CompletedProcess[str]:
    """The hook, with the command as it is `installed` or one whose imports are done."""
    [hook] = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    [name, *options] = shlex.split(hook["entry"])
    command = [str(Path(sys.executable).with_name(name)) if installed else name, *options, *models]
    return subprocess.run(
        command, cwd=workspace, env=environment(workspace), capture_output=True, text=True, check=False
    )


def test_the_hook_checks_every_file(workspace: Path) -> None:
    optimised = [sys.executable, "-m", "onnxgs_opt", "models/net.onnx", "models/done.onnx", "-q"]
    subprocess.run([*optimised, "--lowering", "merged-gather"], cwd=workspace, check=True)
    shutil.copy(STATIC, workspace / "models" / "other.onnx")
    found = run_hook(workspace, "models/net.onnx", "models/done.onnx", "models/other.onnx")
    assert found.returncode == 1, found
    said = [line.split()[1] for line in found.stdout.splitlines()]
    assert said == ["FAILED", "PASSED", "FAILED", "FAILED"], found
    for done in (
        run_hook(workspace, "models/done.onnx", installed=True),
        run_hook(workspace, "models/done.onnx", "models/done.onnx"),
    ):
        assert done.returncode == 0, done


# -- lines of the pages and examples, as they are written ------------------------------------------


def run_lines(workspace: Path, lines: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Lines as a shell runs them; `pip` says what it would install."""
    tools = workspace / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "pip").write_text('#!/bin/sh\necho pip "$@"\n', encoding="utf-8")
    (tools / "pip").chmod(0o755)
    values = environment(workspace, **more)
    path = f"{tools}{os.pathsep}{values['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", lines], cwd=workspace, env={**values, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_gitlab_job_runs_as_it_is_written(workspace: Path) -> None:
    job = yaml.safe_load((REPOSITORY / "examples" / "gitlab-ci.yml").read_text(encoding="utf-8"))["samplers"]
    done = run_lines(workspace, "set -e\n" + "\n".join(job["script"]), **job["variables"])
    assert done.returncode == 1, done.stderr  # --check found one
    assert done.stdout.splitlines()[0] == "pip install --quiet ./onnxgs-opt[html]"
    kept = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert [name for name in kept if not (workspace / name).stat().st_size] == []


def test_the_workflow_runs_the_action_as_it_is_written(workspace: Path) -> None:
    text = (REPOSITORY / "examples" / "github-workflow.yml").read_text(encoding="utf-8")
    [step] = [step for step in yaml.safe_load(text)["jobs"]["check"]["steps"] if "onnxgs-opt" in step.get("uses", "")]
    assert run_step(workspace, "Run onnxgs-opt", **step["with"]).returncode == 1
    assert outputs(workspace)["report"] == step["with"]["report"]


def test_the_pre_commit_lines_name_a_hook_that_there_is() -> None:
    page = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    [lines] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "hooks:" in block]
    [repository] = yaml.safe_load(lines)
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"] for hook in repository["hooks"]} <= {hook["id"] for hook in hooks}


def test_the_shell_lines_of_the_page_do_what_they_say(workspace: Path) -> None:
    """Each line of each block, in its order; the exit code is 0 unless the line's comment says another."""
    page = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    shutil.copy(STATIC, workspace / "model.onnx")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    expected = {"exit 1: something could be optimised": 1, "exit 1, nothing written: fewer than two samplers": 1}
    done = [(line, run_lines(workspace, line)) for line in lines]
    for line, run in done:
        says = line.partition("# ")[2]
        assert run.returncode == expected.get(says, 0), f"{line}\n{run.stdout}{run.stderr}"
    assert len(done) >= 6


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cells = json.loads((REPOSITORY / "docs" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(REPOSITORY / "docs")
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    said = capsys.readouterr().out
    assert "reads of the images: 8 -> 2" in said
    assert "times as fast" in said


# -- schemas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", "examples/github-workflow.yml"),
        ("vendor.gitlab-ci", "examples/gitlab-ci.yml"),
    ],
)
def test_files_fit_their_schema(schema: str, path: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(REPOSITORY / path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_action_documents_its_inputs_and_outputs() -> None:
    page = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    for name in (*ACTION["inputs"], *ACTION["outputs"]):
        assert f"`{name}`" in page
