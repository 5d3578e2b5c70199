# Two commands for a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: run test quick-tests test-all test-peers test-triton gpu sanitize lint install clean bench bench-full

$(VENV)/.installed: pyproject.toml constraints.txt expand3d/networks/ops/kernels.c
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
	$(BIN)/expand3d report quickstart --out studies/quickstart/report --force

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One process a core; the tests of a file share what it makes.
PYTEST := $(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

# Side by side: nobody waits for mypy's minute.
test: install
	@$(MAKE) --no-print-directory --jobs 2 lint quick-tests

quick-tests: install
	$(PYTEST)

test-all: lint
	$(PYTEST) -m 'not peers'

# pytorchvideo lives in an environment of its own: see tests/peers/README.md.
test-peers:
	tests/peers/run $(PYTHON)

# The GPU's kernels: on a GPU, else in Triton's interpreter and compiled for one that is not there.
test-triton: install
	$(PIP) --editable '.[dev,triton]'
	$(BIN)/python -m pytest -q tests/networks/ops/test_triton.py

# All that is asked of a machine with a GPU, in at most 8 minutes after the installation.
gpu: install
	$(PIP) --editable '.[dev,triton]'
	benchmarks/gpu.sh --python $(BIN)/python

# The loops in C under AddressSanitizer and UBSan, with GCC.
sanitize: install
	$(BIN)/python tests/sanitize.py

# Figures of docs/PERFORMANCE.md: tables and pictures in results/benchmarks, with the machine.
# Comparisons with pytorchvideo need the environment that `make test-peers` makes.
RESULTS := results/benchmarks
PEER_PYTHON := PYTHONPATH=. .venv-peers/bin/python
PEER := test -e .venv-peers/.installed || { echo "no .venv-peers: left out"; exit 0; };

bench: install
	$(BIN)/python benchmarks/draw.py --machine $(RESULTS)
	$(BIN)/python benchmarks/commands.py --csv $(RESULTS)/commands.csv
	$(BIN)/python benchmarks/feeding.py --csv $(RESULTS)/feeding.csv
	$(BIN)/python benchmarks/record.py --trials 100 1000 --csv $(RESULTS)/record.csv
	$(BIN)/python benchmarks/train_step.py --clips 8 --repeats 3 --csv $(RESULTS)/train_step.csv
	$(BIN)/python benchmarks/floor.py --repeats 3 --csv $(RESULTS)/floor.csv
	@$(PEER) $(PEER_PYTHON) benchmarks/train_step.py --peer --clips 8 --repeats 3 \
	  --csv $(RESULTS)/peer_step.csv
	@$(PEER) $(PEER_PYTHON) benchmarks/inference.py --repeats 3 --csv $(RESULTS)/inference.csv
	$(BIN)/python benchmarks/draw.py $(RESULTS)

bench-full: install
	$(BIN)/python benchmarks/draw.py --machine $(RESULTS)
	$(BIN)/python benchmarks/commands.py --repeats 9 --csv $(RESULTS)/commands.csv
	$(BIN)/python benchmarks/feeding.py --clips 128 --repeats 9 --csv $(RESULTS)/feeding.csv
	$(BIN)/python benchmarks/waiting.py --csv $(RESULTS)/waiting.csv
	$(BIN)/python benchmarks/streaming.py --csv $(RESULTS)/streaming.csv
	$(BIN)/python benchmarks/large_data.py --csv $(RESULTS)/large_data.csv
	$(BIN)/python benchmarks/many_clips.py --csv $(RESULTS)/many_clips.csv
	$(BIN)/python benchmarks/record.py --csv $(RESULTS)/record.csv
	$(BIN)/python benchmarks/train_step.py --csv $(RESULTS)/train_step.csv
	$(BIN)/python benchmarks/floor.py --csv $(RESULTS)/floor.csv
	@$(PEER) $(PEER_PYTHON) benchmarks/train_step.py --peer --clips 8 --csv $(RESULTS)/peer_step.csv
	@$(PEER) $(PEER_PYTHON) benchmarks/inference.py --csv $(RESULTS)/inference.csv
	@$(PEER) $(PEER_PYTHON) benchmarks/runtimes.py --csv $(RESULTS)/runtimes.csv
	rm -f $(RESULTS)/whole_job.csv
	@$(PEER) $(BIN)/python benchmarks/whole_job.py --csv $(RESULTS)/whole_job.csv
	for budget in 0.1 0.2 0.3; do $(BIN)/python benchmarks/whole_job.py --alone \
	  --budget $${budget}GFLOPs --csv $(RESULTS)/whole_job.csv || exit 1; done
	for budget in 1 4; do $(BIN)/python benchmarks/whole_job.py --plan \
	  --budget $${budget}GFLOPs --csv $(RESULTS)/whole_job.csv || exit 1; done
	$(BIN)/python benchmarks/draw.py $(RESULTS)

clean:
	rm -rf $(VENV) .venv-peers build *.egg-info .pytest_cache .mypy_cache .ruff_cache
