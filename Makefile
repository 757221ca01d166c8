# Everything runs in .venv, which `make venv` keeps up to date with pyproject.toml.
# `make check` is read-only; `make fix` is the only target that writes to the sources.

PYTHON ?= python3
RUN := .venv/bin/python
STAMP := .venv/.stamp
CODE := $(wildcard raftlog statemachines jepsen_like tests bench examples)

.DEFAULT_GOAL := help
.PHONY: help venv run test sim soak accept check fix bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# An environment does not survive being moved: its second line names the place it was made for.
ifneq ($(shell sed -n 2p $(STAMP) 2>/dev/null),$(realpath $(CURDIR)))
.PHONY: $(STAMP)
endif

venv: $(STAMP) ## set up .venv (PYTHON=python3.12 names the interpreter)

$(STAMP): pyproject.toml tests/gate/environment.py
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)' here: install Python 3.11 or newer, or name yours with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tests/gate/environment.py

run: $(STAMP) ## three nodes, real input, a killed leader, nothing lost (ARGS=--keep leaves them up)
	@$(RUN) -m raftlog.mainjob $(ARGS)

test: $(STAMP) ## the tests (ARGS="tests/core -k vote" narrows)
	@$(RUN) -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

sim: $(STAMP) ## whole clusters under 200 seeds of faults (ARGS="--tier node --seeds 50 --workers 2")
	@$(RUN) -m jepsen_like sim $(ARGS)

soak: $(STAMP) ## the same on both tiers until told to stop; ledgers in .soak (ARGS="--workers 2")
	@$(RUN) -m jepsen_like soak $(ARGS)

accept: $(STAMP) ## the judged points in full length
	@$(RUN) -m pytest -m accept -o faulthandler_timeout=3600 $(ARGS)

check: $(STAMP) ## the gate: format, lint, types, import contracts, generated code, traps
	@$(RUN) tests/gate/check.py $(CODE)

fix: $(STAMP) ## write what check asks for: generated code, lint fixes, format
	@$(RUN) tests/gate/protoc.py --write
	@$(RUN) -m ruff check --quiet --fix-only $(CODE)
	@$(RUN) -m ruff format $(CODE)

bench: $(STAMP) ## the benchmarks (ARGS are passed on)
	@$(RUN) -m bench $(ARGS)

clean: ## remove the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
