"""Every error carries a code that stays, whatever becomes of its words."""

from typing import Any

import httpx
import pytest

from tests.gateway.asking import ASK
from tests.gateway.conftest import Serve
from tests.stub_engine import POISON, StubEngine, failure

RERANK = "/v2/rerank"


async def code_of(client: httpx.AsyncClient, path: str = RERANK, **request: Any) -> str:
    """The code of the error that a request gets."""
    reply = await client.request(request.pop("method", "POST"), path, **request)
    assert reply.is_error
    code: str = reply.json()["code"]
    return code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b'{"query": 1, "documents": ["a"]}', "invalid_request"),
        (b'{"query": "a", "documents": ["a"], "max_tokens_per_doc": 0}', "invalid_request"),
        (b'{"query": " ", "documents": ["a"]}', "query_empty"),
        (b'{"query": "a", "documents": []}', "documents_empty"),
        (b'{"query": "a", "documents": ["a", "b", "c", "d"]}', "too_many_documents"),
        (b'{"query": "a", "documents": ["' + b"a" * 2000 + b'"]}', "body_too_large"),
        (b'{"query": "a", "documents": [{"image": "abcd"}]}', "text_only"),
        (b'{"query": "a", "documents": ["' + POISON.encode() + b'"]}', "prompt_refused"),
        (b'{"query": "a", "documents": ["a"], "model": "nobody"}', "model_not_found"),
    ],
)
async def test_what_the_caller_must_fix_has_a_code(serve: Serve, body: bytes, code: str) -> None:
    client = await serve(limits={"max_documents": 3, "max_body_bytes": 1000}, unknown_model="error")
    assert await code_of(client, content=body) == code


async def test_paths_and_keys_have_codes(serve: Serve) -> None:
    client = await serve(api_keys=["k"], admin_keys=["root"])
    assert await code_of(client, "/no/such/path") == "path_not_found"
    assert await code_of(client, method="GET") == "method_not_allowed"
    assert await code_of(client, json=ASK) == "no_api_key"
    assert await code_of(client, json=ASK, headers={"x-api-key": "other"}) == "invalid_api_key"
    assert await code_of(client, "/v1/cache", method="DELETE", headers={"x-api-key": "k"}) == "invalid_api_key"


async def test_what_the_engine_does_wrong_has_a_code(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"engine_timeout_s": 0.2, "max_pairs_waiting": 2})
    assert await code_of(client, json=ASK) == "overloaded"
    small = {**ASK, "documents": ["fast"], "cache": "no-store"}
    engine.distort = lambda _: [None]
    assert await code_of(client, json=small) == "engine_bad_response"
    engine.instead = lambda: failure(500, "oh")
    assert await code_of(client, json=small) == "engine_unavailable"
    engine.gate.clear()
    assert await code_of(client, json=small) == "engine_timeout"
    engine.gate.set()
    await engine.stop()
    assert await code_of(client, json=small) == "engine_unavailable"
    assert await code_of(client, "/v1/engines/words/load") == "engine_not_launched"
