# Two targets are all a user needs: `make demo` and `make test`. Both set everything up by themselves.

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench images clean
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
# Workers share the cores: a thread of torch's that waits for others must not spin meanwhile.
READY := .venv/.ready
# What looks like a secret and is none: AWS's own examples, and a word. One line by itself: "pragma: allowlist secret".
NO_SECRETS := EXAMPLE|^secret$$
SHELL_FILES := $(wildcard scripts/*.sh ec2/*.sh src/kennel/local/machines/bin/*) .ci/run

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

demo: $(READY) ## photographs in, a tuned classifier behind an endpoint, a request answered (KENNEL_DATA=folder for your own)
	@KENNEL_LOCAL_HOME=demo/local $(BIN)/kennel run --on local --out demo

test: $(READY) ## every test this machine can run, WORKERS=2 at a time
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(READY) ## lint, types, import layers, shell, Dockerfiles, secrets
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/shellcheck $(SHELL_FILES)
	@$(BIN)/shfmt -i 2 -ci -d $(SHELL_FILES)
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify --exclude-secrets '$(NO_SECRETS)'
	@$(if $(wildcard containers/*/Dockerfile),$(BIN)/hadolint $(wildcard containers/*/Dockerfile),true)

format: $(READY) ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/shfmt -i 2 -ci -w $(SHELL_FILES)

bench: $(READY) ## the benchmarks' tables (minutes)
	@for each in benchmarks/bench_*.py; do $(BIN)/python "$$each"; done

images: ## build both images (the serving one for a CPU); prints their names
	@scripts/build_push.sh all --cpu

clean: ## everything that was made here, but no data and no cache
	rm -rf .venv demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "kennel needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setting up .venv (about 2 GB; two minutes and more, once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,serve,java,cloud,local,dev]'
	@touch $@
