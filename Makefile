# One command for everything. `make help` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
INSTALL := $(PIP) install --require-hashes --only-binary :all:

# Lanes run in this order, the quick ones first.
LANES := unit contracts conformance simulation integration system alone
# More pytest options, for example: make test PYTEST_ARGS="-k repair -x"
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-full check format bench soak lock clean audit audit-static audit-dependencies fuzz

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

# --- environments: one venv, two stamps -----------------------------------------------------------

# The runtime alone, which is all that a node and the demo need.
$(VENV)/.runtime: requirements.lock pyproject.toml .ci/check-machine
	@python=$$(PYTHON='$(PYTHON)' .ci/check-machine) && { test -x $(BIN)/python || "$$python" -m venv $(VENV); }
	@echo "installing the runtime into $(VENV)"
	@$(INSTALL) -r requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

# The same and what tests and checks need; requirements-dev.lock repeats the runtime's versions.
$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing test and check tools into $(VENV)"
	@$(INSTALL) -r requirements-dev.lock
	@touch $@

venv: $(VENV)/.dev ## check the machine, make .venv with everything for development

# --- run ------------------------------------------------------------------------------------------

demo: $(VENV)/.runtime ## run a pool of three nodes on this machine (POSTS=file publishes yours)
	@$(BIN)/replicator demo $(if $(POSTS),--posts $(POSTS))

bench: $(VENV)/.dev ## measure delivery, catch-up and repair
	@$(BIN)/python -m tests.bench

# --- test and check -------------------------------------------------------------------------------

# No package registry has this server, so only test-full asks for it (Debian's rabbitmq-server).
RABBITMQ := $(wildcard /usr/lib/rabbitmq/bin/rabbitmq-server)
# Likewise the reference implementation of Negentropy: the path of its Negentropy.js, for Node.js.
NEGENTROPY := $(REPLICATOR_TEST_NEGENTROPY)

test: $(VENV)/.dev ## run every lane of tests, then a table of times
	@.ci/lanes -m "not slow and not soak and not rabbitmq and not negentropy_js" $(PYTEST_ARGS) -- $(LANES)

test-full: $(VENV)/.dev ## the same with the slow tests, and those of RabbitMQ where it is installed
	@$(if $(RABBITMQ),,echo "rabbitmq-server is not installed: its tests are left out")
	@$(if $(NEGENTROPY),,echo "REPLICATOR_TEST_NEGENTROPY names no Negentropy.js: its tests are left out")
	@.ci/lanes -m "not soak$(if $(RABBITMQ),, and not rabbitmq)$(if $(NEGENTROPY),, and not negentropy_js)" \
		$(PYTEST_ARGS) -- $(LANES)

soak: $(VENV)/.dev ## run the soak tests: 20,000 simulated seeds, and half an hour of kills
	@.ci/lanes -m "soak" --timeout 0 $(PYTEST_ARGS) -- simulation system

check: $(VENV)/.dev ## format, lint, types, import directions and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@.ci/lanes -q -m "not slow and not soak and not postgres and not rabbitmq" $(PYTEST_ARGS) -- unit contracts

FUZZ_SECONDS ?= 60

fuzz: $(VENV)/.dev ## fuzz all targets, or TARGET=..., for FUZZ_SECONDS each (60 unless told)
	@$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(FUZZ_SECONDS)

audit: audit-static audit-dependencies ## security rules, and both locks against an advisory source

audit-static: $(VENV)/.dev ## security rules, each exception with its reason
	@$(BIN)/python -m tests.audit static

audit-dependencies: $(VENV)/.dev ## fails too where no advisory source can be asked
	@$(BIN)/python -m tests.audit dependencies

format: $(VENV)/.dev ## format the code and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --- maintain -------------------------------------------------------------------------------------

UV := $(VENV)/uv/bin/uv
COMPILE = $(UV) --no-config pip compile pyproject.toml --quiet $(if $(UPGRADE),--upgrade) \
	--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

$(UV): | $(VENV)/.runtime
	@$(BIN)/python -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip --quiet --disable-pip-version-check install uv

lock: $(UV) ## write both locks again (UPGRADE=1 takes the newest versions that the ranges allow)
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove the venv, the caches and the reports
	rm -rf $(VENV) .reports .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find replicator workers tests -name __pycache__ -type d -prune -exec rm -rf {} +
