# Everything happens in .venv: each target sets it up first where needed. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
TEST_PROCESSES ?= 2
# More options for pytest: make test ARGS="-k losses -x"
ARGS ?=
# One benchmark instead of all: make bench NAME=rle_encode_decode
NAME ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint format clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## Create .venv and install sam-ft with the tested versions of everything it needs

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; v = sys.version_info; \
		sys.exit(None if v >= (3, 11) else f"Expected Python 3.11 or newer, but got {v[0]}.{v[1]}: make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing sam-ft and its packages into $(VENV) (some minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

demo: setup ## Fine-tune a small SAM on a real MRI volume and show what it gained (5 to 6 minutes on 2 cores)
	$(BIN)/sam-ft demo

test: setup ## Run the tests (import floors included); ARGS="-k name" picks some, ARGS="-m slow" the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(ARGS)

bench: setup ## Compare with peers, each in one run; NAME=name runs one benchmark; SAM_FT_DATA names real data
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks $(NAME)

lint: setup ## Check style, formatting, types and import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build results (keeps .venv and runs/)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find sam_ft train datasets tests -name __pycache__ -type d -prune -exec rm -rf {} +
