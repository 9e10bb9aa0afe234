"""`GET /v1/engines` and `POST /v1/engines/NAME/load`, in front of a launcher and without one."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.gateway.asking import ASK, message_of
from tests.gateway.conftest import MODEL, Serve
from tests.gateway.serving import LocalServer
from tests.stub_engine import StubEngine

Json = dict[str, Any]


def launcher(state: Json) -> tuple[LocalServer, list[str]]:
    """A launcher whose engine does so, and what it was asked to load."""
    loaded: list[str] = []

    async def engines(request: Request) -> JSONResponse:
        assert request.headers["x-launcher-token"] == "t0ken"
        gpus = [{"name": "A GPU", "used_bytes": 1, "total_bytes": 2}]
        return JSONResponse({"engines": {MODEL: state}, "gpus": gpus, "memory": {"used_bytes": 3, "total_bytes": 4}})

    async def load(request: Request) -> JSONResponse:
        loaded.append(request.path_params["name"])
        return JSONResponse({"name": MODEL, "state": "loading"}, 202)

    routes = [Route("/engines", engines), Route("/engines/{name}/load", load, methods=["POST"])]
    return LocalServer(Starlette(routes=routes)), loaded


async def one_engine(client: httpx.AsyncClient) -> Json:
    [found] = (await client.get("/v1/engines")).json()["engines"]
    assert isinstance(found, dict)
    return found


async def test_without_a_launcher_an_engine_is_ready_or_offline(serve: Serve, engine: StubEngine) -> None:
    client = await serve()
    answer = (await client.get("/v1/engines")).json()
    assert answer["engines"] == [
        {
            "name": MODEL,
            "state": "ready",
            "progress": None,
            "detail": "",
            "modalities": ["text"],
            "context_length": 8192,
            "default": True,
            "default_media": False,
            "listwise": False,
            "loadable": False,
        }
    ]
    assert answer["gpus"] == []
    assert 0 < answer["memory"]["used_bytes"] < answer["memory"]["total_bytes"]
    assert (await client.post(f"/v1/engines/{MODEL}/load")).json() == {"name": MODEL, "state": "ready"}
    await engine.stop()
    assert (await one_engine(client))["state"] == "offline"
    refused = await client.post(f"/v1/engines/{MODEL}/load")
    assert "launcher" in message_of(refused, 400)


async def test_what_the_launcher_says_is_passed_on_and_load_asks_it(serve: Serve) -> None:
    server, loaded = launcher({"state": "loading", "progress": 0.4, "detail": "loading weights"})
    await server.start()
    client = await serve(launcher={"url": server.url, "token": "t0ken"}, admin_keys=["root"])
    answer = (await client.get("/v1/engines")).json()
    found = answer["engines"][0]
    assert (found["state"], found["progress"], found["detail"]) == ("loading", 0.4, "loading weights")
    assert found["loadable"]
    assert answer["gpus"][0]["name"] == "A GPU"
    assert answer["memory"] == {"used_bytes": 3, "total_bytes": 4}
    assert (await client.post("/v1/engines/small/load")).status_code == 401
    admin = {"Authorization": "Bearer root"}
    answered = await client.post("/v1/engines/small/load", headers=admin)
    assert (answered.status_code, answered.json()) == (202, {"name": MODEL, "state": "loading"})
    assert loaded == [MODEL]
    assert (await client.post("/v1/engines/nobody/load", headers=admin)).status_code == 404
    assert (await client.post("/v1/load", headers=admin)).status_code == 404
    await server.stop()
    assert (await one_engine(client))["state"] == "ready"  # by its own health: the launcher is gone


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("stopped", f"{MODEL} is not loaded: POST /v1/engines/{MODEL}/load loads it"),
        ("loading", f"{MODEL} is being loaded"),
        ("failed", f"{MODEL} could not be loaded"),
    ],
)
async def test_a_request_to_a_stopped_engine_is_503_and_says_what_to_do(
    state: str, words: str, serve: Serve, engine: StubEngine
) -> None:
    server, _ = launcher({"state": state})
    await server.start()
    client = await serve(launcher={"url": server.url, "token": "t0ken"})
    await engine.stop()
    answer = await client.post("/v2/rerank", json=ASK)
    assert words in message_of(answer, 503)
    assert answer.json()["code"] == f"engine_{state}"
    assert int(answer.headers["retry-after"]) >= 1
    await server.stop()


async def test_the_states_of_engines_take_a_key_where_reranking_does(serve: Serve) -> None:
    client = await serve(api_keys=["k"])
    assert (await client.get("/v1/engines")).status_code == 401
    assert (await client.get("/v1/engines", headers={"x-api-key": "k"})).status_code == 200
