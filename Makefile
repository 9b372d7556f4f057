# Everything is run from here; each target makes its own environment first. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TSC := $(VENV)/node/node_modules/.bin/tsc
DEMO_DIR ?= demo
JOBS ?= 2
# A process that has done its half takes over the rest of the other's, so that fixtures are seldom made twice.
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test test-oldest test-newest nightly check-style bench schema clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(STAMP)  ## a virtual environment with everything in it (VENV=.venv, PYTHON=python3)

# pip installs nothing again while pyproject.toml is as it was. TypeScript only reads the explorer's JSDoc: without npm, or
# without the network that npm needs once, everything but that check is there.
TYPESCRIPT := 5.9.3
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "evigraph needs Python 3.11 or later: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/node typescript@$(TYPESCRIPT) || \
	  echo "TypeScript was not installed by npm: the explorer's types will not be checked" >&2
	@touch $@

demo: $(STAMP)  ## draw scenes, index, publish, answer both questions (DEMO_DIR=demo)
	$(BIN)/evigraph demo --dir $(DEMO_DIR)

quick: $(STAMP)  ## style and the tests that are neither slow nor reports, within two minutes: for every change
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(PYTEST) -m 'not slow' --ignore tests/reports --ignore tests/fuzz

test: check-style  ## style, types and every test; no network is used (JOBS=2 processes beside each other)
	$(PYTEST)

# Both ends of every range, in environments of their own (6 GB each, of which torch is most).
AT_THE_ENDS := tests/indexer tests/data tests/demo tests/database tests/graphapi tests/reports tests/fuzz

test-oldest: .venv-oldest/.installed  ## numerics, database and service on the oldest supported versions
	.venv-oldest/bin/python -m pytest -W default $(AT_THE_ENDS)  # old libraries warn of newer ones beside them

.venv-oldest/.installed: pyproject.toml tests/support/oldest.py
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@$(PYTHON) tests/support/oldest.py > $(@D)/oldest.txt
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(@D)/oldest.txt --editable '.[all,dev]'
	@touch $@

test-newest:  ## the same on the newest versions that the ranges admit
	@test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
	  --editable '.[all,dev]'
	.venv-newest/bin/python -m pytest $(AT_THE_ENDS)

nightly: $(STAMP)  ## 200 random networks and folders of data, each exact or refused; every page of docs and its figures
	EVIGRAPH_FUZZ=200 EVIGRAPH_DOCS=1 $(PYTEST) tests/fuzz tests/docs

check-style: $(STAMP)  ## ruff, mypy and, where there is npm, TypeScript over the explorer
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if [ -x $(TSC) ]; then echo "$(TSC) -p tests/explorer"; $(TSC) -p tests/explorer/jsconfig.json; \
	  else echo "the types of the explorer are not checked: npm installs TypeScript at 'make setup'"; fi

bench: $(STAMP)  ## how fast indexing is, as ratios to plain inference
	$(BIN)/python -m benchmarks.index_speed

schema: $(STAMP)  ## the GraphQL schema in SDL
	@$(BIN)/evigraph schema

clean:  ## what the demo, the tests and the type checker leave behind; the environment stays
	rm -rf $(DEMO_DIR) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
