# `make` or `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
# Tools started by tools (ninja by DeepSpeed, ray by tests) are found by their names.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
SETUP := .venv/.raybind-setup

.DEFAULT_GOAL := help
.PHONY: help setup demo test prove bench check format up status down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## install everything into .venv, once; PYTHON=python3.12 chooses the interpreter

$(SETUP): pyproject.toml infra/constraints.txt
	@sh infra/preflight.sh "$(PYTHON)"
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv .venv
	@echo "Installing the pinned packages into .venv (about 3 GB to download; minutes)."
	$(BIN)/python -m pip install --constraint infra/constraints.txt --editable ".[dev]"
	@touch $@

demo: $(SETUP) ## the main job in small: make data, bind four modalities to language, evaluate
	@$(RUN) python jobs/demo.py

test: $(SETUP) ## all tests that need no GPU, in less than 15 minutes
	@$(RUN) python -m pytest

prove: $(SETUP) ## the slow proofs, with their figures
	@$(RUN) python -m pytest -m prove --capture=no --timeout=0

bench: $(SETUP) ## measure speeds
	@$(RUN) python -m pytest -m bench --capture=no --timeout=0

check: $(SETUP) ## formatting, lint, types and import rules
	@$(RUN) ruff format --check
	@$(RUN) ruff check
	@$(RUN) pyright
	@$(RUN) lint-imports

format: $(SETUP) ## format the code and fix what ruff can fix
	@$(RUN) ruff format
	@$(RUN) ruff check --fix

up: $(SETUP) ## start an S3 endpoint, MLflow and Ray on loopback
	@$(RUN) python -m infra.local_stack up

status: ## what of the local stack runs where
	@$(RUN) python -m infra.local_stack status

down: ## end what `make up` started
	@$(RUN) python -m infra.local_stack down
