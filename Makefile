# make demo   optimise a committed real export and show the report
# make test   the whole test suite
# make ops    builds and tries onnxgs-ops, the native operator; needs a C++ compiler
# make ops-wheel  builds the wheel of onnxgs-ops into build/ops and tries it in an empty environment
# make native every case of the native operators and of the plugin's kernels, of which the suite takes a part
# make soundness  generated samplers must be found, mutants of them must not: COUNT=10000 of each, JOBS=2
# make mutants    small faults in the recogniser, written by cosmic-ray: which of MUTANTS=300 of them no test sees, JOBS=2
# make planted    wrong lowerings, each wrong at some size, channel, batch item or point only: validation has to find them
# make sizes      generated samplers that compute with their sizes, COUNT=10000; MODELS=FOLDERS too, in every lowering; JOBS=2
# make engines    TensorRT-RTX engines, without a GPU, of every lowering of every spelling; MODELS=FOLDER of models, JOBS=2
# make field      exports of known samplers in MODELS=FOLDER, also after onnxsim and onnxslim: what each is, equal when lowered
# make runtimes   every fixture and every lowering in TARGET=openvino or mnn: run there, and equal to onnxruntime, or refused
# make real-models   looks for samplers in models that packages ship, which it fetches
# make same-outputs   whether a change of the code changed what is written and said: ONLY=text of a run's name, JOBS=2
# make reliability   fuzzes, kills and fills up the disk; writes docs/reliability.md: EXECUTIONS=1000000, JOBS=2
# make lint   ruff, ruff format, spelling, mypy --strict, and stubtest of the public modules
# make torch  installs PyTorch and runs the tests of the export hook and of the export pipeline
# make bench  time every lowering on this machine: tables and a chart in bench/results
# make package   builds the source archive and, from it, the wheel; installs that in an empty environment and runs it
# make docs   the documentation site, into build/site; warnings are errors
# make screenshots   pictures of a report and of three pages, into docs/screenshots or OUT=FOLDER; needs Chromium
# make examples   the reports under docs/examples
# make constraints   pin anew what is installed here, for every Python at once: the newest of everything
# make audit  look the pinned versions up among the known vulnerabilities; needs a network
# make versions   the suite on every Python that is here, and on the oldest dependencies: PYTHONS="3.10 3.13 oldest"
#
# Needs Python >= 3.10 with pip, nothing else; everything lands in .venv. Choose another one with PYTHON=...
# Installed are the versions in constraints/ci.txt; CONSTRAINTS= installs the newest instead.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.10,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $(p))) python3)
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints/ci.txt
# The second variable is what pip from 25.3 on asks when it builds a package, the first what it asks otherwise.
PINNED := $(foreach file,$(abspath $(CONSTRAINTS)),PIP_CONSTRAINT=$(file) PIP_BUILD_CONSTRAINT=$(file))
PIP := $(PINNED) $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO := build/demo
COUNT ?= 10000
MUTANTS ?= 300
JOBS ?= 2
TARGET ?= openvino
EXECUTIONS ?= 1000000

.PHONY: demo test ops ops-wheel native soundness mutants planted sizes engines field decompositions runtimes real-models same-outputs reliability lint torch package bench docs screenshots examples constraints audit versions clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/onnxgs-opt tests/fixtures/models/masked_interior.ts17.dyn.onnx $(DEMO)/masked_interior.onnx \
		--shape img=1x3x480x640 --shape grid=1x480x640x2 --bench --report $(DEMO)/report.json

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist loadfile

ops: $(VENV)/.installed-test
	@command -v $${CXX:-c++} >/dev/null || { echo 'error: onnxgs-ops needs a C++ compiler, and there is none'; exit 1; }
	@$(PIP) install ./ops
	$(BIN)/python ops/tests/smoke.py

ops-wheel: $(BIN)/python
	@rm -rf build/ops
	@$(PIP) install 'virtualenv>=20.26'
	@$(PIP) wheel --no-deps --wheel-dir build/ops ./ops
	@$(BIN)/python -m virtualenv --quiet build/ops/empty
	@$(PINNED) build/ops/empty/bin/python -m pip install -qq --disable-pip-version-check build/ops/*.whl onnx onnxruntime
	build/ops/empty/bin/python ops/tests/smoke.py

native: $(VENV)/.installed-test
	CASES=all $(BIN)/python -m pytest -n auto --dist loadfile tests/native

soundness: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.soundness --spellings $(COUNT) --mutants $(COUNT) --jobs $(JOBS)

mutants: $(VENV)/.installed-test
	@$(PIP) install 'cosmic-ray>=8.7' 'coverage>=7.6'
	$(BIN)/python -m tests.campaigns.mutation --count $(MUTANTS) --jobs $(JOBS)

planted: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.planted --write docs/reliability.md

sizes: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.sizes --models $(COUNT) --jobs $(JOBS) --write docs/reliability.md $(MODELS)

engines: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.engines --jobs $(JOBS) $(MODELS)

field: $(VENV)/.installed-test $(VENV)/.installed-bench
	$(BIN)/python -m tests.campaigns.field --after onnxsim onnxslim --jobs $(JOBS) $(MODELS)

decompositions: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.decompositions $(MODELS)

runtimes: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.runtimes $(TARGET)

real-models: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.real_models

same-outputs: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.same_outputs --jobs $(JOBS) --only '$(ONLY)'

reliability: $(VENV)/.installed-test
	$(BIN)/python -m tests.campaigns.reliability --executions $(EXECUTIONS) --jobs $(JOBS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md action.yml docs onnxgs_opt tests bench ops native examples
	$(BIN)/mypy
	$(BIN)/stubtest --concise --mypy-config-file pyproject.toml --allowlist tests/stubtest-allowlist.txt \
		onnxgs_opt.api onnxgs_opt.errors onnxgs_opt.options onnxgs_opt.report.model onnxgs_opt.torch

torch: $(VENV)/.installed-torch
	$(BIN)/python -m pytest tests/test_torch_export.py tests/repository/test_examples.py

package: $(BIN)/python
	@rm -rf build/package
	@$(PIP) install 'build>=1.2' 'virtualenv>=20.26'
	$(PINNED) $(BIN)/python -m build --outdir build/package/dist . >/dev/null
	@$(BIN)/python -m virtualenv --quiet build/package/empty
	@$(PINNED) build/package/empty/bin/python -m pip install -qq --disable-pip-version-check build/package/dist/*.whl
	cd build/package && empty/bin/onnxgs-opt ../../examples/models/warp.onnx warp.onnx --lowering merged-gather -q && \
		empty/bin/python -m onnxgs_opt --version

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

screenshots: docs
	$(BIN)/python docs/screenshots.py $(or $(OUT),docs/screenshots)

examples: $(VENV)/.installed-test
	$(BIN)/python docs/examples/make.py docs/examples

constraints: | $(BIN)/python
	@$(PIP) install 'uv>=0.8'
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.10 --no-annotate --extra test --extra docs \
		--custom-compile-command 'make constraints' constraints/ci.in pyproject.toml --output-file constraints/ci.txt

audit: | $(BIN)/python
	@$(PIP) install 'pip-audit>=2.9'
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints/ci.txt

versions:
	tests/versions.sh $(PYTHONS)

bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Debian splits ensurepip from python3: there, virtualenv (fetched beside the environment) makes it instead.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'error: $(PYTHON) is not Python 3.10 or later'; \
		  echo 'hint: name one that is, e.g. make PYTHON=python3.11 $(MAKECMDGOALS)'; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV) && $(PINNED) $(PYTHON) -m pip install -qq --target $(VENV)-bootstrap virtualenv && \
		PYTHONPATH=$(VENV)-bootstrap $(PYTHON) -m virtualenv --quiet $(VENV); \
		status=$$?; rm -rf $(VENV)-bootstrap; exit $$status; }

$(VENV)/.installed: pyproject.toml onnxgs_opt/_version.py $(CONSTRAINTS) | $(BIN)/python
	@echo 'installing onnxgs-opt into $(VENV)'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed-test
	@echo 'installing PyTorch into $(VENV)'
	@$(PIP) install torch onnxscript
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo 'installing the test tools into $(VENV)'
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo 'installing the documentation tools into $(VENV)'
	@$(PIP) install --editable '.[docs]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo 'installing the benchmark tools into $(VENV)'
	@$(PIP) install --editable '.[bench]'
	@touch $@
