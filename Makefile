# Everything a developer types. `make help` lists it; each target sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Container images often forbid bytecode. Then pytest rewrites all its asserts, and each process that
# a test starts compiles all its modules, in every run.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
PY := $(VENV)/bin/python
DEMO := build/demo-venv
CLUSTER := e2e/cluster
# Test files at the same time: most of their time is waiting, for leases and time-outs.
SIDE_BY_SIDE := 5
# Here no test waits for long, and each process more collects all of them once more.
CHECK_SIDE_BY_SIDE := 4
# Tests in a cluster: each process installs a release of its own.
E2E_SIDE_BY_SIDE := 4
PYTEST := $(VENV)/bin/pytest --dist loadfile
# The two lower rungs; CONTRIBUTING.md says which is for when.
FAST_TESTS := tests/architecture tests/unit
CHECK_TESTS := $(FAST_TESTS) tests/docs tests/protocol tests/client tests/worker tests/operator tests/cli tests/local
# What measures times inside Redis runs by itself: beside others it would measure them too.
TIMES := tests/protocol/test_times.py

.PHONY: help setup fast check before-tests test test-all lint types imports docs docs-serve screens demo demo-cluster tesseract bench bench-acts bench-faults bench-lists bench-operator bench-scaling bench-settings chaos matrix cluster-up cluster-down manifests lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@echo "setup: Python environment in $(VENV)"
	@python3 -m venv $(VENV) 2>/dev/null || { apt-get install -y -qq python3-venv && python3 -m venv $(VENV); }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.ready ## Python environment, Redis servers, faketime, Chromium, Tesseract, helm and promtool for the fast checks
	@requirements/system.sh
	@requirements/tesseract.sh
	@$(PY) -m testing.servers
	@$(CLUSTER)/tools.sh helm promtool

lint: $(VENV)/.ready ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.ready ## strict mypy
	$(VENV)/bin/mypy

imports: $(VENV)/.ready ## the layers (import-linter)
	$(VENV)/bin/lint-imports

fast: lint types imports setup ## rung 1, while you type: rules, types, layers and unit tests, < 30 s
	$(PYTEST) -n 2 -m "not slow" $(FAST_TESTS)

check: lint types imports setup ## rung 2, before each commit, < 90 s: library and operator on a real Redis
	$(PYTEST) -n $(CHECK_SIDE_BY_SIDE) -m "not slow" $(CHECK_TESTS)

test-all: setup
	$(VENV)/bin/pytest $(TIMES)
	$(PYTEST) -n $(SIDE_BY_SIDE) tests --ignore $(TIMES)

docs: $(VENV)/.ready ## the documentation site, in build/site; fails on a warning or a dead link
	$(PY) -m docsite build

docs-serve: $(VENV)/.ready ## the same, served on port 8000 and built anew as you write
	$(PY) -m docsite serve

screens: setup ## pictures of the dashboard, in build/screens (SCREENS=--write: also those of the documentation)
	PYTHONPATH=queue:operator $(PY) -m testing.screens $(SCREENS)

cluster-up: ## a real three-node cluster (an existing one if KUBECONFIG is set)
	$(CLUSTER)/up.sh

cluster-down: ## delete the cluster and end what was started for it
	$(CLUSTER)/down.sh

# Each takes one core, and the cluster mostly waits. Its lines begin with seconds in brackets.
before-tests: setup
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=line cluster-up types lint imports docs

test: export IDENTTQUEUE_NO_SKIPS := 1  # a test that lacks something here fails, and says what
test: before-tests test-all ## rung 3, before a change lands, and in CI: everything, the cluster included
	$(CLUSTER)/exec.sh $(VENV)/bin/pytest e2e -m "not alone" -n $(E2E_SIDE_BY_SIDE) --dist worksteal
	$(CLUSTER)/exec.sh $(VENV)/bin/pytest e2e -m alone

# Only what a user of `identtqueue[local]` has, and Pillow for the pages.
$(DEMO)/.ready: requirements/demo.txt pyproject.toml
	@echo "setup: Python environment in $(DEMO)"
	@python3 -m venv $(DEMO) 2>/dev/null || { apt-get install -y -qq python3-venv && python3 -m venv $(DEMO); }
	@$(DEMO)/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/demo.txt
	@$(DEMO)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

tesseract:
	@requirements/tesseract.sh

demo: ## the main job on this machine: documents in, text out, a worker killed on the way
	@$(MAKE) --no-print-directory --jobs 2 $(DEMO)/.ready tesseract
	@$(DEMO)/bin/python examples/document-ocr/demo.py

demo-cluster: setup cluster-up ## the same on a real cluster
	@$(CLUSTER)/exec.sh $(PY) examples/document-ocr/demo.py --cluster

bench: setup ## idenTTqueue beside its peers (BENCH=--quick: below 4 minutes; BENCH=--targets: below 20)
	$(PY) -m benchmarks.queue.run $(BENCH)

bench-acts: setup ## acts on a million pending tasks and 100,000 dead letters: their speed, the longest call
	$(PY) -m benchmarks.acts $(BENCH)

bench-lists: setup ## lists and searches of the same: Redis' time for a page, bytes to the browser
	$(PY) -m benchmarks.lists $(BENCH)

bench-operator: setup cluster-up ## the operator on a real API server, beside its targets
	$(CLUSTER)/exec.sh $(PY) -m benchmarks.operator.run $(BENCH)

bench-faults: setup ## what idenTTqueue and its peers lose when a worker or Redis dies
	$(PY) -m benchmarks.faults.run $(BENCH)

bench-scaling: $(VENV)/.ready ## the operator's decisions beside KEDA's, simulated (BENCH=--quick: about a minute)
	$(PY) -m benchmarks.scaling.run $(BENCH)

bench-settings: setup ## what Redis' settings cost a queue, each beside the default (15 minutes)
	$(PY) -m benchmarks.settings $(BENCH)

chaos: setup ## random faults on real processes, and books that must balance (CHAOS="--seed 7 …")
	$(PY) -m testing.faults.chaos $(CHAOS)

matrix: setup ## the tests on each server and each Python that is found (MATRIX="--server redis-6.2 --python 3.13")
	PYTHONPATH=queue:operator $(PY) -m testing.compat.matrix $(MATRIX)

manifests: setup ## regenerate the CRD, the manifests and the reference pages from the models, the chart and the commands
	charts/generate.sh
	$(PY) -m docsite taskqueue
	$(PY) -m docsite commands

lock: ## rewrite the hashed requirement files (needs uv)
	requirements/lock.sh

clean: cluster-down ## remove what the targets made in this folder
	rm -rf $(VENV) .cluster .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
