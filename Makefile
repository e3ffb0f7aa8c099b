# Everything runs inside .venv, which is made from requirements.lock on first use.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
UV := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)

# The stages' `python` is the one of .venv. Nothing phones home.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Compiled modules are kept whatever the user's shell says: without them each notebook's kernel compiles torch anew.
export PYTHONDONTWRITEBYTECODE :=
# `make ui` only shows runs: no workers for MLflow's background jobs.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false

.DEFAULT_GOAL := help
.PHONY: help repro test lab ui lint bench lock

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' Makefile | expand -t 8

repro: $(READY)  ## run the whole experiment: every stage whose inputs changed
	@$(BIN)/python -m dvc repro
	@$(BIN)/python -m syncnet_lib results

test: $(READY) lint  ## style, types, and all tests, every notebook included
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lab: $(READY)  ## open the notebooks in JupyterLab, on this machine only
	@$(BIN)/python -m jupyter lab --ServerApp.ip=127.0.0.1 --notebook-dir=notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root)  # a container's only user

ui: $(READY)  ## open the recorded runs in MLflow, on this machine only
	@$(BIN)/python -m mlflow ui --host 127.0.0.1 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

lint: $(READY)  ## check style and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy

bench: $(READY)  ## measure speed; takes minutes
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

lock: $(READY)  ## choose new versions of all packages
	@$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group dev \
		pyproject.toml --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--upgrade -o requirements.lock

# The last line marks a whole install. Without the mark what is there is half an install, and is done again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
		echo "error: Python 3.11 or 3.12 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12" >&2; \
		exit 1; }
	@if [ -e $(READY) ]; then rm $(READY); else rm -rf .venv; fi
	@echo "installing the packages of requirements.lock into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/python -m uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)
