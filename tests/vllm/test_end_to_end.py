"""A user's whole setup: `rerank engine`, the gateway and the Cohere SDK. vLLM is killed during the test."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cohere
import pytest
from cohere.core.api_error import ApiError

from tests.vllm.corpus import ORDINARY_DOCUMENTS
from tests.vllm.provision import VLLM
from tests.vllm.reference import Case, Reference
from tests.vllm.servers import MAX_TOKENS, MODEL, Engine, free_port, gateway, gateway_model, running
from tests.vllm.test_scores import QUERY, TOLERANCE
from tests.vllm.tiny_model import TinyModel

BACK_WITHIN_S = 180
ASK_ONCE: cohere.core.RequestOptions = {"max_retries": 0, "timeout_in_seconds": 60}


def test_the_sdk_gets_official_scores_or_a_503_while_vllm_is_killed_and_comes_back() -> None:
    model = TinyModel(seed=1)
    with Reference(model.folder()) as reference:
        cases = [Case(QUERY, document, max_tokens=MAX_TOKENS) for document in ORDINARY_DOCUMENTS]
        expected = [answer.score for answer in reference(cases)]
    port = free_port()
    engine = Engine(f"http://127.0.0.1:{port}", model)
    with (
        running("rerank-engine", launch(model, port), f"{engine.url}/health"),
        gateway("end-to-end", {MODEL: gateway_model(engine)}) as url,
        cohere.ClientV2(api_key="any", base_url=url) as client,
    ):
        assert_official(ask(client), expected)

        first = vllm_group(port)
        os.kill(first, signal.SIGKILL)
        refusals = list(refusals_until_it_answers(client, expected))

        assert refusals
        assert {error.status_code for error in refusals} == {503}
        assert all(int((error.headers or {})["retry-after"]) >= 1 for error in refusals)
        assert is_gone(first)
        second = vllm_group(port)
    assert is_gone(second)


def launch(model: TinyModel, port: int) -> list[str | Path]:
    small = "--engine-args=--dtype float32 --enforce-eager --kv-cache-memory-bytes 64M"
    return [
        *(Path(sys.executable).with_name("rerank"), "engine", model.folder(), "--family", "qwen3-reranker"),
        *("--max-tokens", str(MAX_TOKENS), "--port", str(port), "--vllm", VLLM, small),
    ]


def ask(client: cohere.ClientV2) -> list[float]:
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=ORDINARY_DOCUMENTS, request_options=ASK_ONCE)
    return [result.relevance_score for result in sorted(answer.results, key=lambda result: result.index)]


def refusals_until_it_answers(client: cohere.ClientV2, expected: Sequence[float]) -> Iterator[ApiError]:
    """Ask until the launcher has restarted vLLM. Every answer must be right or an error, and the errors are yielded."""
    deadline = time.monotonic() + BACK_WITHIN_S
    refused = False
    while time.monotonic() < deadline:
        try:
            assert_official(ask(client), expected)
        except ApiError as error:
            refused = True
            yield error
            time.sleep(0.2)
        else:
            if refused:
                return
    pytest.fail(f"vLLM was not back after {BACK_WITHIN_S} s")


def assert_official(found: Sequence[float], expected: Sequence[float]) -> None:
    worst = max(abs(score - official) for score, official in zip(found, expected, strict=True))
    assert worst <= TOLERANCE["float32"]


def vllm_group(port: int) -> int:
    """Id of the process group of the `vllm serve` with this port."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        process = int(file.parent.name)
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = file.read_bytes().split(b"\0")
            if b"serve" in words and str(port).encode() in words and os.getpgid(process) == process:
                return process
    raise AssertionError(f"no vLLM was told port {port}")


def is_gone(group: int) -> bool:
    """True if no process of the group is left. Zombies do not count."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group, *_ = file.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state != "Z":
                return False
    return True
