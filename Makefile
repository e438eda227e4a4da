# Every target says what it does; `make` alone lists them.
SHELL := /bin/sh
PATH := $(PATH):/usr/sbin:/sbin
export PATH
BIN := .venv/bin
# Much of the tests' time is waiting: three at once keep two cores busy.
JOBS ?= 3
PEERS ?= .venv/peers
PART ?= tests/nightly tests
DIRS ?= mtughost/diagnose mtughost/remedy mtughost/change
SAMPLE ?= 300

.PHONY: help setup demo test lint types wheel-test test-netbox nightly nightly-sample mutation bench bench-peers bench-scale platforms constraints clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

setup: ## install what is missing (Debian packages as root, the Python environment always)
	@.ci/setup

demo: setup ## run the main job on a lab of real kernels, or on virtual devices where none can run
	@$(BIN)/mtughost demo $(if $(MTUGHOST_REQUIRE_LAB),--on lab)

test: setup ## run all tests but the nightly ones
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not nightly and not wheel"

lint: setup ## format check, lint, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: setup ## mypy strict
	$(BIN)/mypy

wheel-test: setup ## build the wheel, run the packaging tests against it outside the checkout
	$(BIN)/python -m pytest -m wheel

test-netbox: setup ## the import against a real NetBox, started here; says so where none can run
	.ci/netbox

nightly: setup ## the long runs (PART="tests/change" for some); writes tests/nightly/RESULTS.md
	MTUGHOST_NIGHTLY=full $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m nightly \
	  tests/nightly/conftest.py $(PART)

nightly-sample: setup ## a seeded sample of the long runs
	MTUGHOST_NIGHTLY=sample $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m nightly \
	  tests/nightly tests

mutation: setup ## do tests notice mutants? (DIRS, SAMPLE, SEED, TESTS); writes tests/nightly/MUTATION.md
	$(BIN)/python -P tests/nightly/mutation.py --sample $(SAMPLE) $(DIRS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(TESTS),--tests $(TESTS))

bench: setup ## speed as ratios, side by side in one run; writes benchmarks/RESULTS.md, PEERS.md
	$(BIN)/python benchmarks/run.py
	$(MAKE) bench-peers

bench-peers: setup ## beside nornir, netmiko, scrapli, asyncssh, Ansible in an environment of their own
	test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers.txt
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/ansible.txt || \
	  echo "Ansible does not install here: it is left out, and PEERS.md says so"
	$(BIN)/python benchmarks/peers.py $(PEERS)/bin/python $(SIZES)

bench-scale: setup ## one audit of 500 to 20,000 devices, memory over time; writes SCALE.md
	$(BIN)/python benchmarks/scale.py $(SIZES)

platforms: setup ## write the README's table of platforms anew, from the task books
	$(BIN)/python -m mtughost.app.platforms README.md

constraints: ## pin constraints.txt anew (needs uv on PATH)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header \
	  --extra lab --extra dask --extra pdf --extra netbox --group dev pyproject.toml --output-file constraints.txt

clean: ## remove what make made in the checkout
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* htmlcov
