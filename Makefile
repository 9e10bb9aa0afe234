# Two commands: `make up` starts everything, `make test` tests everything. Both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# A requirements file is complete: nothing but what it names is installed, and only files whose hashes it knows.
INSTALL := $(PIP) install --no-deps --require-hashes --only-binary :all:
PROGRAMS := gateway launch ui
# Tests that share nothing, so that they may run side by side: no vLLM, no browser, nothing but .venv.
UNITS := tests/gateway tests/launch tests/ui_units $(wildcard tests/offline) $(wildcard tests/test_*.py)
# One more than there are cores, since some tests wait for processes: on two cores 73 s instead of 98.
SIDE_BY_SIDE = --numprocesses $(shell $(BIN)/python -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))') --dist worksteal
ARGS ?=

# $(call debian,PROGRAM,WHAT IS TESTED WITH IT): installs the package of that name, as root; else says so.
debian = @command -v $(1) >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && timeout 300 apt-get update -qq \
	    && timeout 600 apt-get install -y -qq --no-install-recommends $(1) >/dev/null; } \
	  || echo "!!! SKIPPED: install $(1) to test $(2)" >&2

.PHONY: up test test-fast mutants bench docs lint format lock clean

up: .venv/.run
	$(BIN)/rerank up $(ARGS)

# The Cohere SDKs that clash with ours, and vLLM's CPU build (2 minutes and 3.5 GB the first time), each get their
# own environment; redis-server and Chromium come from Debian's packages. Where one cannot be had its tests say so and
# are skipped. The browser's tests are a run of their own, behind the others: Chromium has hung where nothing else does.
# SIGINT lets pytest say how far it came. A linked .venv-vllm is another checkout's: venv would empty it.
# Without ARGS every test runs, and each program must reach the coverage that pyproject.toml asks for.
test: .venv/.test
	$(call debian,redis-server,the shared cache)
	$(call debian,chromium,the studio in a browser)
	$(BIN)/python -m tests.sdk.provision
	@test -L .venv-vllm || $(BIN)/python tests/vllm/provision.py
ifneq ($(ARGS),)
	$(BIN)/pytest $(ARGS)
else
	$(BIN)/coverage erase
	timeout -s INT -k 30 900 $(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) --durations=15 $(UNITS)
	timeout -s INT -k 30 2400 $(BIN)/coverage run -m pytest --durations=15 $(addprefix --ignore=,$(UNITS)) --ignore=tests/ui
	.ci/browser
	$(BIN)/coverage combine --quiet
	@rm -f .coverage.* # what processes left half written that were killed
	@failed=0; for program in $(PROGRAMS); do \
	  echo "== coverage of $$program"; $(BIN)/coverage report --include="$$program/*" || failed=1; done; exit $$failed
endif

# What to run while working, within 90 s on two cores.
test-fast: .venv/.test
	$(BIN)/pytest $(SIDE_BY_SIDE) $(UNITS) $(ARGS)

# Changes the code in small ways, each of which must fail a test (docs/mutants.md).
mutants: .venv/.test
	$(BIN)/python -m tests.mutants $(ARGS)

# Speed beside LiteLLM and vLLM alone, within 10 minutes: wrk comes from Debian's package. `make bench BASE=FOLDER` compares
# the gateway of another checkout with this one's instead.
bench: .venv/.test
	@command -v wrk >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq wrk >/dev/null; } \
	  || echo "!!! install wrk to measure the rates" >&2
	$(BIN)/python -m bench.provision
	@test -L .venv-vllm || $(BIN)/python tests/vllm/provision.py
	$(BIN)/python -m $(if $(BASE),bench.compare $(BASE),bench)

# The pages of docs/ as a site, in site/; a dead link fails.
docs: .venv/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Adds to the lock what pyproject.toml newly asks for; `make lock ARGS=--upgrade` moves every pin.
lock: .venv/.test
	UV=$(BIN)/uv requirements/lock $(ARGS)

clean:
	rm -rf .venv .venv-* .cache

.venv/.run: pyproject.toml requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make up PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(INSTALL) -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.test: .venv/.run requirements/test.txt
	$(INSTALL) -r requirements/test.txt
	@touch $@
