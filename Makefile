# Lilin: every job and every check is one verb; `make help` lists them.
# Needs make and Python 3.11 to 3.14 with venv and pip; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing is compiled at install: Python does it on first use, for the few modules really used.
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
LILIN := $(BIN)/lilin
LILIN_DATA_DIR ?= data
SAMPLE := pipeline/sample/feed.csv
CODE := models pipeline service tests notebooks
PYTEST_ARGS ?=
SERVE ?= 1
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--annotation-style line --custom-compile-command "make lock" --no-emit-index-url
export LILIN_DATA_DIR

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint format type unit chromium corpus train evaluate replay bench lock clean data-dir

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo "Settings: LILIN_DATA_DIR, the folder of labelled data (now $(LILIN_DATA_DIR));"
	@echo "          PYTHON, the interpreter of a new environment (now $(PYTHON)); PYTEST_ARGS;"
	@echo "          SERVE=0: make run loads the desk and does not serve it."

run: $(VENV)/.run ## score the sample feed, put it before the desk and serve it; installs what is missing
	@mkdir -p build
	$(LILIN) score $(SAMPLE) -o build/sample.scored.csv --overwrite
	$(LILIN) migrate
	$(LILIN) clarification add pipeline/sample/clarifications.csv
	@test -s build/sample.csv || $(LILIN) sample build/sample.csv # its last post is of now
	$(LILIN) feed add build/sample.csv # once: a feed that was sent before is not taken again
	$(LILIN) worker --drain --try-alerts
	$(if $(filter-out 0,$(SERVE)),$(LILIN) serve)

test: $(VENV)/.dev chromium ## every check: lint, types, layers, tests and notebooks
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory type
	$(MAKE) --no-print-directory unit

lint: $(VENV)/.dev ## ruff, the code's format and the direction of imports
	$(BIN)/ruff check --cache-dir build/ruff $(CODE)
	$(BIN)/ruff format --check --cache-dir build/ruff $(CODE)
	PYTHONPATH=. $(BIN)/lint-imports --cache-dir build/import-linter

format: $(VENV)/.dev ## put the code in the house format
	$(BIN)/ruff check --fix --cache-dir build/ruff $(CODE)
	$(BIN)/ruff format --cache-dir build/ruff $(CODE)

type: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

unit: $(VENV)/.dev ## the tests alone, e.g. make unit PYTEST_ARGS='-k score -x'
	$(BIN)/python -m pytest $(PYTEST_ARGS)

chromium: ## install the browser of the page tests (Debian and Ubuntu, as root), or say what is missing
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "The tests of the pages need Chromium: install your system's package \"chromium\"."; fi

corpus: data-dir $(VENV)/.train ## read the labelled data and report what came out of it
	$(LILIN) corpus report $(LILIN_DATA_DIR)

train: data-dir $(VENV)/.train ## train, calibrate and export the model from the labelled data
	$(LILIN) train $(LILIN_DATA_DIR)

evaluate: data-dir $(VENV)/.train ## measure the shipped model; writes docs/evaluation.md
	$(LILIN) evaluate $(LILIN_DATA_DIR)

replay: data-dir $(VENV)/.train ## measure how early the warning is; writes docs/early-warning.md
	$(LILIN) earliness $(LILIN_DATA_DIR)

bench: $(VENV)/.dev ## measure speed and memory of model and desk; writes docs/benchmark*.md
	$(LILIN) bench
	$(LILIN) bench-desk
	$(LILIN) bench-desk --parts f -o docs/benchmark-narratives.md

lock: $(VENV)/.made ## renew requirements/*.lock with the newest versions
	@mkdir -p build
	$(PIP_INSTALL) uv
	$(UV_COMPILE) --extra train --extra dev pyproject.toml > build/dev.lock
	$(UV_COMPILE) --extra train --constraint build/dev.lock pyproject.toml > build/train.lock
	$(UV_COMPILE) --constraint build/dev.lock pyproject.toml > build/run.lock
	for name in run train dev; do sed -e "/== '\(never\|emscripten\)'/d" \
		-e 's| -c build/dev.lock,||;s|, -c build/dev.lock||' \
		build/$$name.lock > requirements/$$name.lock; done

clean: ## remove the environment and the caches (what was trained in build/ stays)
	rm -rf $(VENV) build/ruff build/mypy build/pytest build/import-linter .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

data-dir:
	@test -d "$(LILIN_DATA_DIR)" || { \
		echo "There is no folder of labelled data at '$(LILIN_DATA_DIR)'."; \
		echo "Put your files there, or say where they are: make $(firstword $(MAKECMDGOALS)) LILIN_DATA_DIR=/path/to/data"; \
		echo "docs/data-format.md tells what the files look like and where Lilin's own come from."; \
		exit 2; }

# --- environments: .run is enough for scoring, .train adds torch, .dev the checks -----------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || { \
		echo "Lilin needs Python 3.11 to 3.14; '$(PYTHON)' is not. Try: make run PYTHON=python3.13"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python has no venv. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 2; }
	@echo "Setting up $(VENV) (once; a minute or so on a plain connection) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: requirements/run.lock pyproject.toml | $(VENV)/.made
	@$(PIP_INSTALL) -r requirements/run.lock
	@$(PIP_INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.train: requirements/train.lock $(VENV)/.run
	@echo "Installing what training needs (once; torch is large) ..."
	@$(PIP_INSTALL) -r requirements/train.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	@echo "Installing what the checks need, training included (once; torch is large) ..."
	@$(PIP_INSTALL) -r requirements/dev.lock
	@touch $(VENV)/.train $@
