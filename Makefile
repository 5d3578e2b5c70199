# Two commands for a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: run test test-all test-peers lint install clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $@

install: $(VENV)/.installed

# The main job on the bundled clips; run again after an interruption, it continues.
run: install
	@if [ -e studies/quickstart/study.db ]; then \
	  $(BIN)/expand3d resume quickstart; \
	else \
	  $(BIN)/expand3d run studies/quickstart.toml; \
	fi
	$(BIN)/expand3d pareto quickstart
	$(BIN)/expand3d report quickstart --out studies/quickstart/report

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -q

test-all: lint
	$(BIN)/python -m pytest -q -m 'not peers'

# pytorchvideo lives in an environment of its own: see tests/peers/README.md.
test-peers:
	tests/peers/run $(PYTHON)

clean:
	rm -rf $(VENV) .venv-peers build *.egg-info .pytest_cache .mypy_cache .ruff_cache
