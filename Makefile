# A fresh clone needs two commands: `make demo` and `make test`.
# ARGS is passed on: `make demo ARGS=--no-app`, `make test ARGS="-k window"`.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# only what constraints.txt lists is installed, by digest; docs/decisions/0021-* says why torch has no digest
LOCKED := $(PIP) --require-hashes --no-deps
OURS := $(PIP) --no-deps --no-build-isolation -e .
MINIMUM := .venv-minimum/bin
TORCH ?= -r requirements/torch.in
# parallel by file: each file runs in one process, so that its fixtures are built once
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
AXE := 4.10.3
SOURCES := medembed evaluation apps tests requirements

.PHONY: help demo test check lint types layers docs test-slow test-ray test-minimum test-browser audit-gates format clean lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 16

demo: .venv/.run ## set up, run the full pipeline on simulated patients, open the reading room
	@$(BIN)/medembed demo $(ARGS)

test: .venv/.dev ## set up and run the default tests
	@$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

check: lint types layers docs test test-slow test-minimum test-browser ## run everything that CI runs

lint: .venv/.dev ## check style
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: .venv/.dev ## check static types
	$(BIN)/mypy

layers: .venv/.dev ## check which package may import which
	$(BIN)/lint-imports

docs: .venv/.dev ## check links and the command-line reference
	$(BIN)/pytest -q tests/contracts/test_docs.py

test-slow: .venv/.dev ## run the slow tests
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "slow and not browser and not gpu and not pacs and not ray"

test-ray: .venv/.dev ## run the tests that start Ray on this machine
	$(BIN)/pytest -q -m ray

# old direct dependencies warn about new indirect ones, so warnings are not errors here
test-minimum: .venv-minimum/.done ## run a part of the fast suite under the oldest declared versions
	$(MINIMUM)/python -m pytest -q $(SIDE_BY_SIDE) -W default tests/scans tests/model tests/encoders \
	  tests/index tests/lookup tests/evaluation/mitigation

test-browser: .venv/.dev .venv/.axe ## test the reading room and the audit page in headless chromium
	@if command -v chromium >/dev/null; then $(BIN)/pytest -q $(SIDE_BY_SIDE) -m browser; \
	else echo "test-browser: no chromium on this machine; nothing was run"; fi

audit-gates: .venv/.dev ## run the simulations behind docs/results/audit-gates.md (hours; ARGS="--scale 0.02")
	@$(BIN)/python tests/simulation/audit_gates.py $(ARGS)

format: .venv/.dev ## fix style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove the environment and caches
	rm -rf .venv .venv-minimum build *.egg-info .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "MedEmbed needs Python 3.11 or newer; run: make PYTHON=python3.11 ..."; exit 2; }
	@echo "Setting up .venv (a few minutes, once)" >&2
	@$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt constraints-dev.txt $(wildcard requirements/*)
	@$(LOCKED) -r constraints.txt
	@$(PIP) $(TORCH)
	@$(OURS)
	@touch $@

.venv/.dev: .venv/.run
	@$(LOCKED) -r constraints-dev.txt
	@touch $@

# axe-core (MPL-2.0) for the tests of accessibility; without npm they are skipped
.venv/.axe: .venv/.dev
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix .venv/axe axe-core@$(AXE) && touch $@; \
	else echo "test-browser: no npm on this machine; the tests with axe-core are skipped"; fi

.venv-minimum/.done: .venv/bin/python pyproject.toml requirements/minimum.py
	@echo "Setting up .venv-minimum (a few minutes, once)" >&2
	@rm -rf .venv-minimum && $(BIN)/python -m venv .venv-minimum
	@$(BIN)/python requirements/minimum.py > .venv-minimum/minimum.txt
	@$(MINIMUM)/python -m pip install --quiet --disable-pip-version-check \
	  -r .venv-minimum/minimum.txt -r requirements/build.in \
	  pytest pytest-xdist hypothesis pydicom-data SimpleITK
	@$(MINIMUM)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock: ## write constraints.txt (needs the tool uv; ARGS=--upgrade moves the pins)
	$(PYTHON) requirements/lock.py $(ARGS)
