"""Servers that the tests of this folder share. Each starts for the first test that needs it."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.vllm.provision import is_provisioned, why_impossible
from tests.vllm.reference import Reference
from tests.vllm.servers import MODEL, Engine, gateway, gateway_model, vllm
from tests.vllm.tiny_model import ALL_RANKS, TinyModel

MODELS = {
    "few-ranks": TinyModel(seed=1),
    "real-ids": TinyModel(seed=0, ranks=ALL_RANKS),
    # Smaller weights: with 0.5 even transformers' bfloat16 is up to 0.08 from its float32 on this corpus.
    "bfloat16": TinyModel(seed=0, dtype="bfloat16", init_std=0.2),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A running vLLM, and the official recipe with the same weights."""

    engine: Engine
    reference: Reference


def why_skipped() -> str | None:
    if is_provisioned():
        return None
    return why_impossible() or "vLLM is not installed: run `make test`, or tests/vllm/provision.py alone"


@pytest.fixture(scope="session", autouse=True)
def provisioned() -> None:
    if reason := why_skipped():
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reason := why_skipped():
        terminalreporter.write_line(f"!!! SKIPPED: the tests on real vLLM did not run: {reason}", red=True)


# pytest runs all tests of one parameter before the next, over all modules: one vLLM at a time, each started once.
@pytest.fixture(scope="session", params=MODELS)
def bench(request: pytest.FixtureRequest, provisioned: None) -> Iterator[Bench]:
    model = MODELS[request.param]
    with vllm(request.param, model) as engine, Reference(model.folder()) as reference:
        yield Bench(engine, reference)


@pytest.fixture(scope="session")
def api(bench: Bench) -> Iterator[httpx.Client]:
    """A client of the gateway in front of `bench.engine`."""
    with (
        gateway("gateway", {MODEL: gateway_model(bench.engine)}) as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        yield client
