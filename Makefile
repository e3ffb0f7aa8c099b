# Everything runs inside .venv, which is made from requirements.lock on first use.

PYTHON ?= python3
PORT ?= 5000
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
# `make ui` only shows runs: no workers for MLflow's background jobs, and one for the pages: each imports MLflow for seconds.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false

# A clip of the explorer is a few MB of pictures, which a server would take for a notebook that has gone mad.
LIMITS := --ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e9

.DEFAULT_GOAL := help
.PHONY: help repro test test-fast lab explore ui exps lint bench lock

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | expand -t 12

repro: git-repository $(READY)  ## run the whole experiment: every stage whose inputs changed
	@$(BIN)/python -m syncnet_lib check
	@$(BIN)/python -m dvc repro
	@$(BIN)/python -m syncnet_lib results

test: style  ## style, types, and all tests, every notebook included
	@$(MAKE) --no-print-directory --jobs=2 types suite

test-fast: $(READY)  ## the tests that take less than a minute together, and no notebook
	@$(BIN)/python -m pytest tests -m "not slow" -n auto --maxprocesses 4 --dist loadfile

lab: $(READY)  ## open README and notebooks in JupyterLab, on this machine only
	@$(BIN)/python -m jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/README.md \
		--LabApp.app_settings_dir="$(CURDIR)/docs/jupyter/lab" $(LIMITS) \
		$(if $(filter 0,$(shell id -u)),--allow-root)  # a container's only user

explore: free-port $(READY)  ## watch, hear and shift clips or your own video, on this machine only
	@echo "the explorer: http://127.0.0.1:$(PORT)"
	@JUPYTER_PATH="$(CURDIR)/docs/jupyter" $(BIN)/python -m voila notebooks/explore.ipynb --Voila.ip=127.0.0.1 --port=$(PORT) \
		--template=explore --preheat_kernel=True --pool_size=1 --Voila.log_level=ERROR --no-browser $(LIMITS)

ui: free-port $(READY)  ## open the recorded runs in MLflow, on this machine only
	@$(BIN)/python -m syncnet_lib runs http://127.0.0.1:$(PORT)
	@$(BIN)/python -m mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

exps: $(READY)  ## compare the experiments of `dvc exp run`: the headline, and the parameters that differ
	@$(BIN)/python -m dvc exp show --no-pager --only-changed --keep '^(k5|k15|base_k15|clip|auc)$$' --drop '^(Created|(data|syncnet_lib|notebooks|reports)/)'

lint: style types  ## check style and types

# Those that prepare and compute the studies' points have arguments and are no measurement.
bench: $(READY)  ## measure speed and strangers; takes an hour
	@for script in $(filter-out benchmarks/corpora.py benchmarks/points.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

lock: $(READY)  ## choose new versions of all packages
	@$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--all-extras --group dev pyproject.toml \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade -o requirements.lock

.PHONY: git-repository free-port style types suite

style: $(READY)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .

types: $(READY)
	@$(BIN)/python -m mypy

suite: $(READY)
	@MAKEFLAGS= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# DVC works in a git repository only, which "Download ZIP" does not give. Asked before gigabytes are installed.
git-repository:
	@said=$$(git rev-parse --git-dir 2>&1) || case "$$said" in \
		*"dubious ownership"*) echo "error: $(CURDIR): git refuses a folder of another user; run: git config --global --add safe.directory '$(CURDIR)'" >&2; exit 2;; \
		*"not a git repository"*) echo "error: $(CURDIR): not a git repository, which DVC needs; run: git init -q && git add -A && git commit -q -m start" >&2; exit 2;; \
		*) echo "error: $$said" >&2; exit 2;; esac

free-port:
	@$(PYTHON) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || { \
		echo "error: port $(PORT) is taken; run: make $(firstword $(MAKECMDGOALS)) PORT=$$(($(PORT) + 1))" >&2; exit 2; }

# A container's user may have no name (no line in /etc/passwd), for which DVC asks: user.pth has any Python of .venv take the
# number for it, and keep bytecode whatever the user's shell says: uv compiles nothing, so that every start of `syncnet`
# would compile what it imports, longer than a short video takes. And it looks for garbage as `syncnet` does (cli.py).
# The last line marks a whole install. Without the mark what is there is half an install, and is done again.
$(READY): requirements.lock pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
		echo "error: Python 3.11 or 3.12 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12" >&2; \
		exit 1; }
	@if [ -e $(READY) ]; then rm $(READY); else rm -rf .venv; fi
	@echo "installing the packages of requirements.lock into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/python -m uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@{ echo 'import os, sys; os.environ.setdefault("USER", str(os.getuid())); sys.dont_write_bytecode = False'; \
		echo 'import atexit, gc; gc.set_threshold(*gc.get_threshold()[:2], 100); atexit.register(gc.freeze)'; \
		} >"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/user.pth"
	@touch $(READY)
