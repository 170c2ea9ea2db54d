# A fresh clone needs two commands: `make demo` and `make test`.
# ARGS is passed on: `make demo ARGS=--no-app`, `make test ARGS="-k window"`.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# run test files in parallel; a file stays in one process, so that its fixtures are built once
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
SOURCES := medembed evaluation apps tests

.PHONY: help demo test check lint types layers docs test-slow test-browser audit-gates format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 16

demo: .venv/.run ## set up, run the full pipeline on simulated patients, open the reading room
	@$(BIN)/medembed demo $(ARGS)

test: .venv/.dev ## set up and run the default tests
	@$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

check: lint types layers docs test test-slow test-browser ## run everything that CI runs

lint: .venv/.dev ## check the style
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: .venv/.dev ## check the types
	$(BIN)/mypy

layers: .venv/.dev ## check the order of imports
	$(BIN)/lint-imports

docs: .venv/.dev ## check links, the command-line reference and claims of the docs
	$(BIN)/pytest -q tests/contracts/test_docs.py

test-slow: .venv/.dev ## run the slow tests
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "slow and not browser and not gpu and not pacs"

test-browser: .venv/.dev ## test the reading room and the audit's page in headless chromium
	@if command -v chromium >/dev/null; then $(BIN)/pytest -q -m browser; \
	else echo "test-browser: no chromium on this machine; nothing was run"; fi

audit-gates: .venv/.dev ## run the simulations of docs/results/audit-gates.md (hours; ARGS="--scale 0.02")
	@$(BIN)/python tests/simulation/audit_gates.py $(ARGS)

format: .venv/.dev ## fix the style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove the environment and caches
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "MedEmbed needs Python 3.11 or newer; run: make PYTHON=python3.11 ..."; exit 2; }
	@echo "Setting up .venv (a few minutes, once)" >&2
	@$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@$(PIP) -e ".[app,audit,starter]"
	@touch $@

.venv/.dev: .venv/.run
	@$(PIP) -e ".[app,audit,starter,dev]"
	@touch $@
