# make run     train on phantom mammograms and write a report
# make test    run the tests; PARITY=1 also compares with PyTorch
# make check   format, lint, import floors, types
# make bench   speed and memory beside PyTorch peers
# make clean   remove the environment and what tools cached; runs/ stays
#
# Each makes the environment $(VENV) when it is missing and installs into it
# again when setup.cfg has changed. PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/adatriplet.py
PARITY ?=
# Tests side by side; each takes about 2 GB.
JOBS ?= 2
# The build of PyTorch to compare with; the CPU build suffices.
TORCH ?= torch

# Huge pages for the large arrays of a step: a quarter less time on Linux.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

BIN := $(VENV)/bin
# The package is installed in place, so only these change what is installed.
METADATA := setup.cfg pyproject.toml
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST_STAMPS := $(VENV)/.test $(if $(PARITY),$(VENV)/.parity)

.PHONY: run test check bench clean

run: $(VENV)/.run
	$(BIN)/python main.py --config=$(CONFIG)
	@echo "Open runs/$(basename $(notdir $(CONFIG)))/report.html in a browser."

test: $(TEST_STAMPS)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# Without the huge pages: peers are measured as they come.
bench: $(VENV)/.test $(VENV)/.parity
	env -u GLIBC_TUNABLES $(BIN)/python -m benchmarks

# pip is the last thing that venv makes: where it is, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "mammojax needs Python 3.11 to 3.13; '$(PYTHON)' is not one" \
	       "($$($(PYTHON) --version 2>/dev/null || echo not found)). Name another:" \
	       "make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) \
	  || { echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(METADATA) | $(BIN)/pip
	$(PIP) install --editable .
	@touch $@

$(VENV)/.test: $(METADATA) | $(BIN)/pip
	$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.dev: $(METADATA) | $(BIN)/pip
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.parity: $(METADATA) | $(BIN)/pip
	$(PIP) install '$(TORCH)'
	$(PIP) install --editable '.[parity]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
