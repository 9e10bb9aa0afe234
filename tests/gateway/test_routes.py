"""Real clients build odd paths out of base URLs: each finds its answer, and none is ever redirected."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from gateway.dialects.cohere import Body
from tests.gateway.asking import ASK, indices, message_of
from tests.gateway.conftest import MODEL, Serve
from tests.stub_engine import StubEngine

RERANK_PATHS = {
    "/rerank": "1",
    "/v1/rerank": "1",
    "/v2/rerank": "2",
    "/v2/rerank/": "2",
    "/v2/rerank//": "2",
    "//rerank": "1",
    "//v2//rerank": "2",
    "/v1/v1/rerank": "1",
    "/v1/v2/rerank": "2",
    "/v2/v1/rerank": "1",
    "/v2/v2/rerank": "2",
    "/v2/rerank/v1/rerank": "1",
    "/v2/rerank/v2/rerank": "2",
    "/rerank/v2/rerank": "2",
    "/api/x/v2/rerank": "2",
    "/providers/cohere/v2/rerank/": "2",
    "/v1/models/rerank": "1",
    "/v1/reranks": "1",
    "/v1/reranking": "1",
    "/v1/rerankings": "1",
    "/v1/ranking": "1",
    "/v2/text-rerank": "2",
    "/v2/rerank?x=1": "2",
}


@pytest.mark.parametrize(("path", "version"), RERANK_PATHS.items())
async def test_the_last_segment_and_the_last_version_count(client: httpx.AsyncClient, path: str, version: str) -> None:
    # The whole URL: httpx would take //rerank for a host.
    response = await client.post(f"{client.base_url}".rstrip("/") + path, json=ASK)
    assert indices(response) == [1, 2, 0]
    assert response.json()["meta"]["api_version"]["version"] == version


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_405_in_json(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/v2/rerank")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/json"
    if method != "HEAD":
        assert message_of(response, 405) == "this path takes POST"


@pytest.mark.parametrize("path", ["/v1/chat", "/rerank/more", "/v1", "/favicon.ico", "/v1/rerank%20", "/%2e%2e/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_404_in_json(client: httpx.AsyncClient, method: str, path: str) -> None:
    message_of(await client.request(method, path), 404)


async def test_a_redirect_never_happens(client: httpx.AsyncClient) -> None:
    for path in (*RERANK_PATHS, "/v1/models/", "/docs/", "/healthz/", "/nothing/"):
        for method in ("GET", "POST"):
            url = f"{client.base_url}".rstrip("/") + path
            assert not (await client.request(method, url)).is_redirect


@pytest.mark.parametrize("path", ["/v1/check-api-key", "/v1/v1/check-api-key"])
async def test_a_key_is_checked_with_an_empty_body(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path)
    assert response.request.headers["content-length"] == "0"
    assert response.json() == {"valid": True}


@pytest.mark.parametrize("path", ["/v1/models?endpoint=rerank", "/models", "/v1/v1/models/"])
async def test_models_are_listed_for_cohere_and_openai(client: httpx.AsyncClient, path: str) -> None:
    body = (await client.get(path)).json()
    assert [model["name"] for model in body["models"]] == [MODEL]
    assert body["models"][0]["endpoints"] == ["rerank"]
    assert (body["object"], body["data"]) == ("list", [{"id": MODEL, "object": "model"}])


@pytest.mark.parametrize("name", [MODEL, "small", "org/name", "org%2Fname", "Org/Name/"])
async def test_a_model_is_found_by_name_alias_and_hub_id(serve: Serve, name: str) -> None:
    client = await serve(model={"hub": "org/name", "max_tokens": 512})
    body = (await client.get(f"/v1/models/{name}")).json()
    assert body == {"name": MODEL, "endpoints": ["rerank"], "finetuned": False, "context_length": 512}


async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient) -> None:
    assert "nobody/knows" in message_of(await client.get("/v1/models/nobody/knows"), 404)


async def test_a_text_is_tokenized_by_the_engine(client: httpx.AsyncClient, engine: StubEngine) -> None:
    body = (await client.post("/v1/tokenize", json={"text": "fast red car", "model": "any"})).json()
    assert body == {"tokens": [0, 1, 2], "token_strings": ["fast", "red", "car"]}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"text": 5}', b"[", b'{"text": "\xff"}'])
async def test_what_cannot_be_tokenized_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    assert "text" in message_of(await client.post("/v1/tokenize", content=body), 400)


async def test_a_text_the_engine_will_not_tokenize_is_400(client: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.tokenize_status = 400
    assert "text: " in message_of(await client.post("/v1/tokenize", json={"text": "a"}), 400)


async def test_the_process_says_that_it_lives_without_its_engine(client: httpx.AsyncClient, engine: StubEngine) -> None:
    await engine.stop()
    assert (await client.get("/healthz")).json() == {"alive": True}
    assert (await client.head("/healthz")).content == b""


async def test_openapi_lists_every_field_and_leads_nowhere_empty(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert {"title", "version"} <= set(document["info"])
    schemas = document["components"]["schemas"]
    assert set(schemas["Body"]["properties"]) == {field.encode_name for field in msgspec.structs.fields(Body)}
    assert set(schemas["Body"]["required"]) == {"query", "documents"}
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


@pytest.mark.parametrize("path", ["/cache", "/no/such/prefix/cache", "/v2/cache"])
async def test_the_cache_is_cleared_at_its_own_path_alone(client: httpx.AsyncClient, path: str) -> None:
    await client.post("/v2/rerank", json=ASK)
    assert (await client.delete(path)).status_code == 404
    assert (await client.post("/v2/rerank", json=ASK)).json()["meta"]["cached_pairs"] == len(ASK["documents"])
    assert (await client.delete("/behind/a/proxy/v1/cache")).status_code == 200


async def test_openapi_describes_only_paths_that_are_there(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                assert operation["summary"]
                response = await client.request(method, path.replace("{name}", MODEL), json=ASK | {"text": "a"})
                # A preview needs a model that sees: tests/gateway/test_preview.py.
                expected = {"/v1/preview": 400, "/v1/engines/{name}/load": 202}.get(path, 200)
                assert response.status_code == expected, path


@pytest.mark.parametrize("path", ["/docs", "/", "/any/prefix/docs"])
async def test_the_documentation_needs_no_other_host(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    assert "/v2/rerank" in response.text
    assert not re.findall(r"https?://", response.text)
    # Nothing to fetch before it can be read; what it links to is relative.
    assert not re.search(r"<(script|img|link|iframe)[^>]*\b(src|href)=|@import|url\(", response.text)
    assert re.findall(r'href="([^"]*)"', response.text) == ["openapi.json"]


def references(node: Any) -> Iterator[str]:
    """Every `$ref` in a JSON document."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "$ref" in node:
        yield node["$ref"]
    for child in children:
        yield from references(child)
