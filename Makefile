# The commands of a newcomer: `make demo`, then `make test`. `make help` lists the rest.
# They work with git, make and Python 3.11 or later; scripts/ holds what is longer than a line.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
# Named, so that it holds whatever the permissions of the folder are
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Ansible takes nothing but UTF-8
export LC_ALL := C.UTF-8

# More options for the playbooks, e.g. make demo ARGS=-v
ARGS ?=
# More options for the long tests, e.g. make soak SOAK_ARGS="-n 8"
SOAK_ARGS ?=
# Python that is checked for its types
TYPED := src sandbox/sandbox_provider stack/calendar_assistant $(wildcard scripts/*.py)
MODULES := $(wildcard library module_utils plugins roles/*/*_plugins roles/*/files/*.py)

.PHONY: help
help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

# --- environment

.PHONY: preflight
preflight:
	@scripts/preflight.sh

$(VENV)/.controller.stamp: requirements/controller.txt scripts/environment.sh | preflight
	@scripts/environment.sh controller

$(VENV)/.dev.stamp: requirements/dev.txt scripts/environment.sh | preflight
	@scripts/environment.sh dev

$(VENV)/bench/.bench.stamp: requirements/bench.txt scripts/environment.sh $(VENV)/.controller.stamp
	@scripts/environment.sh bench

$(VENV)/previous/.previous.stamp: requirements/previous.txt scripts/environment.sh $(VENV)/.dev.stamp
	@scripts/environment.sh previous

.PHONY: test-tools
test-tools: $(VENV)/.dev.stamp $(VENV)/previous/.previous.stamp
	@scripts/test_tools.sh

.PHONY: controller
controller: $(VENV)/.controller.stamp ## Ansible and what it needs on this machine, in .venv

.PHONY: environment
environment: $(VENV)/.dev.stamp ## Everything that the tests need, in .venv

.PHONY: lock
lock: $(VENV)/.dev.stamp ## Resolve requirements/*.in again; LOCK_UPGRADE=1 takes newer releases
	scripts/lock.sh

# --- the demo

.PHONY: demo
demo: $(VENV)/.controller.stamp ## Engine, images, sandbox, token, stack, proof: all on this machine
	ansible-playbook site.yml $(ARGS)
	@scripts/next_steps.sh

.PHONY: down
down: $(VENV)/.controller.stamp ## Remove the demo's containers; keeps token, images, engine (ARGS='-e teardown_volume=true')
	ansible-playbook playbooks/teardown.yml $(ARGS)

.PHONY: engine-stop
engine-stop: $(VENV)/.controller.stamp ## Stop the engine, if the demo has started it
	ansible-playbook playbooks/engine_stop.yml $(ARGS)

# --- the tests

.PHONY: test
test: test-tools ## All of the below; starts an engine if none answers, and stops that again
	scripts/with_engine.sh $(MAKE) --no-print-directory checks pytest

# On two cores at once: neither the linters nor Ansible use more than one
.PHONY: checks
checks:
	$(MAKE) --no-print-directory -j2 --output-sync=line molecule-default lint types

.PHONY: lint
lint: $(VENV)/.dev.stamp ## ruff, yamllint, ansible-lint (production profile)
	ruff check .
	ruff format --check .
	yamllint --strict .
	scripts/role_readme.py --check
	ansible-lint --offline --profile production

.PHONY: types
types: $(VENV)/.dev.stamp ## mypy --strict
	mypy $(TYPED)
	mypy $(MODULES)

.PHONY: unit
unit: test-tools ## Tests that need no engine
	pytest -n 2 tests/unit

.PHONY: integration
integration: test-tools ## Tests on the engine
	scripts/with_engine.sh pytest -m 'not long' tests/integration tests/faults

.PHONY: molecule
molecule: $(VENV)/.dev.stamp ## The Molecule scenarios, one for each playbook of day two
	scripts/with_engine.sh scripts/molecule.sh

.PHONY: molecule-default
molecule-default: $(VENV)/.dev.stamp
	scripts/with_engine.sh molecule test -s default

.PHONY: pytest
pytest: test-tools
	scripts/with_engine.sh scripts/tests.sh

.PHONY: soak
soak: test-tools ## Faults at every system call and task, every crash state, long models, tokens of ten minutes: over an hour and a half; SOAK_ARGS="-n 8"
	SOAK=1 pytest --timeout=7200 --durations=10 $(SOAK_ARGS) tests/faults
	SOAK=1 scripts/with_engine.sh pytest --timeout=7200 --durations=10 -m long tests/integration
	scripts/with_engine.sh scripts/molecule.sh

.PHONY: bench
bench: $(VENV)/bench/.bench.stamp ## Measure the store beside other ways of sharing a token
	scripts/with_engine.sh $(VENV)/bench/bin/pytest -q -s bench

.PHONY: bench-playbooks
bench-playbooks: test-tools ## Measure the playbooks on 1, 3 and 6 hosts over SSH, beside a plain one; about eleven minutes
	scripts/with_engine.sh $(VENV)/bin/python bench/playbooks.py

# --- and away

.PHONY: clean
clean: ## Remove the environment and all caches; the demo itself goes with `make down`
	rm -rf .venv .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
