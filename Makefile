# Needs Python 3.11 or later, GNU make, git and a package index. Every target sets up what it needs in .venv.
# `make` alone does just that; `make help` lists the rest.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_QUIET := -qq --disable-pip-version-check --no-input
# Two workers: the tests start brokers and services of their own, and want the cores for them.
WORKERS ?= 2
# e.g. make pytest ARGS="tests/unit -x"
ARGS ?=
# e.g. make lock UPGRADE=--upgrade
UPGRADE ?=

.DEFAULT_GOAL := setup
.PHONY: setup help demo up test lint types imports pytest format bench bench-approvals bench-idle bench-listing bench-masking lock schemas clean

setup: $(READY) ## set up .venv; then everything answers to .venv/bin/callgate

$(READY): requirements/dev.txt pyproject.toml
	@set -eu; found=; \
	for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Callgate needs Python 3.11 or later, and none was found on PATH." >&2; exit 1; \
	fi; \
	echo "setting up $(VENV) with $$($$found --version)"; \
	"$$found" -m venv $(VENV) || { \
	    echo "$$found cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install $(PIP_QUIET) --no-deps --no-build-isolation --editable .
	@touch $@

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /	/' | expand -t 16

demo: $(READY) ## tell the whole story on real parts, step by step
	@$(BIN)/callgate demo

up: $(READY) ## run everything on this machine until Ctrl-C
	@$(BIN)/callgate up

test: lint types imports ## everything that must pass: lint, types, import rules, all tests
	@$(MAKE) --no-print-directory pytest

lint: $(READY) ## ruff
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run \`make format\`" >&2; exit 1; }

format: $(READY) ## let ruff mend what it can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

imports: $(READY) ## who may import whom
	@$(BIN)/lint-imports

# A worker that dies ends the run: started again, it would run into what killed it again.
pytest: $(READY) ## all tests; ARGS="tests/unit -x" narrows
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(ARGS)

bench: $(READY) ## measure the whole path, and write docs/performance.md
	@$(BIN)/python -m bench

bench-approvals: $(READY) ## measure what reviewers wait for; ARGS="--waiting N --votes N"
	@$(BIN)/python -m bench.approvals $(ARGS)

bench-idle: $(READY) ## measure what a call costs that waits; ARGS="--waiting N --looks"
	@$(BIN)/python -m bench.idle $(ARGS)

bench-listing: $(READY) ## measure what a page of a long session costs; ARGS="--calls N --page N"
	@$(BIN)/python -m bench.listing $(ARGS)

bench-masking: $(READY) ## measure masking; ARGS="--presidio --cases FILE --sentences FILE" does more
	@$(BIN)/python -m bench.masking $(ARGS)

schemas: $(READY) ## write contracts/schemas and the table of docs/masking.md anew
	@$(BIN)/python -m cli.schemas
	@$(BIN)/python -m cli.mask_table

# uv reads no configuration of pip's, and nothing of this machine's index is written into the files.
COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

lock: $(READY) ## resolve pyproject.toml into requirements/; UPGRADE=--upgrade takes newer versions
	@$(COMPILE) pyproject.toml --extra postgres --extra otel -o requirements/runtime.txt
	@$(COMPILE) pyproject.toml --extra postgres --extra otel --group dev -c requirements/runtime.txt -o requirements/dev.txt
	@echo hatchling | $(COMPILE) - --no-annotate -c requirements/dev.txt -o requirements/build.txt

clean: ## remove .venv and every cache; .callgate, the state of `make up`, stays
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .bench
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
