# Everything runs in ./.venv: Python >= 3.11 and make are the only assumptions.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check sim chaos bench bench-compare bench-report acceptance broker serve lock schemas manifests

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

demo: $(READY)  ## Kafka, a small model and Penstock on this machine: watch questions being answered
	@$(BIN)/penstock demo

# Two at a time, each with a Kafka of its own: most tests mostly wait. A file stays together, for
# what its tests share, and files come in order: the longest are the first.
test: check  ## style, types, the import law and every test
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY)  ## ruff, mypy strict, the import law
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

sim: $(READY)  ## the guarantees in so many simulated worlds: make sim [SEEDS=3000]
	PENSTOCK_SIM_SEEDS=$(or $(SEEDS),3000) $(BIN)/pytest -q tests/simulation/test_simulation.py

chaos: $(READY)  ## members, brokers and the network fail at random: make chaos [MINUTES=15]
	PENSTOCK_CHAOS_MINUTES=$(or $(MINUTES),15) $(BIN)/python -m tests.acceptance chaos

bench: $(READY)  ## questions/s and CPU per question, beside others: make bench [ARGS="unloaded --quick"]
	$(BIN)/python -m tests.bench $(ARGS)

bench-compare: $(READY)  ## what became better and worse: make bench-compare [OLD=a.json] [NEW=b.json]
	$(BIN)/python -m tests.bench.compare $(or $(OLD),docs/performance.json) $(or $(NEW),out/bench.json)

bench-report: $(READY)  ## a whole run becomes what the README and its chart tell: make bench-report [FROM=a.json]
	$(BIN)/python -m tests.bench.report $(or $(FROM),out/bench.json)

# `make acceptance deploy` names a scenario, and not a second target.
ifeq ($(firstword $(MAKECMDGOALS)),acceptance)
NAME ?= $(filter-out acceptance,$(MAKECMDGOALS))
.PHONY: deploy image seen
deploy image seen:
	@:
endif
acceptance: $(READY)  ## scenarios on real processes, figures as JSON: make acceptance [NAME=backlog]
	$(BIN)/python -m tests.acceptance $(NAME)

broker: $(READY)  ## a real Apache Kafka on this machine, until Ctrl-C
	$(BIN)/penstock broker

serve: $(READY)  ## the service, settings from the environment, .env or penstock.toml
	$(BIN)/penstock serve

schemas: $(READY)  ## write schemas/, the dashboards, and what of the README is generated
	$(BIN)/python -m schemas

manifests: $(READY)  ## render the Helm chart to deploy/kubernetes (wants Go, once: it builds helm)
	$(BIN)/python -m tests.deploy.manifests

# What the image installs is of the same versions: the second lock is cut out of the first.
LOCK := $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: $(READY)  ## renew requirements.lock, and of the image deploy/requirements.lock
	$(LOCK) --upgrade --group dev pyproject.toml -o requirements.lock
	$(LOCK) --constraint requirements.lock --extra otel pyproject.toml -o deploy/requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "penstock needs Python 3.11 or later: make PYTHON=/path/to/python3.12 ..." >&2; exit 2; }
	@echo "Installing into .venv, about 700 MB ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@
