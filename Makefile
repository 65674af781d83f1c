# make demo   optimise a committed real export and show the report
# make test   the whole test suite
# make lint   ruff and mypy --strict
#
# Needs Python >= 3.10 with pip, nothing else; everything lands in .venv. Choose another one with PYTHON=...
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.10,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $(p))) python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO := build/demo

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	$(BIN)/onnxgs-opt tests/fixtures/models/masked_interior.ts17.dyn.onnx $(DEMO)/masked_interior.onnx \
		--report $(DEMO)/report.json

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Debian splits ensurepip from python3: there, virtualenv (fetched beside the environment) makes it instead.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'error: $(PYTHON) is not Python 3.10 or later'; \
		  echo 'hint: name one that is, e.g. make PYTHON=python3.11 $(MAKECMDGOALS)'; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV) && $(PYTHON) -m pip install -qq --target $(VENV)-bootstrap virtualenv && \
		PYTHONPATH=$(VENV)-bootstrap $(PYTHON) -m virtualenv --quiet $(VENV); \
		status=$$?; rm -rf $(VENV)-bootstrap; exit $$status; }

$(VENV)/.installed: pyproject.toml onnxgs_opt/_version.py | $(BIN)/python
	@echo 'installing onnxgs-opt into $(VENV)'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo 'installing the test tools into $(VENV)'
	@$(PIP) install --editable '.[test]'
	@touch $@
