"""The default model of a machine, and the reasons that are told while the gateway is not ready."""

from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from launch import catalogue, readiness
from launch.console import Console
from launch.hardware import Memory
from launch.machine import Machine
from launch.readiness import wait_for_gateway
from launch.selection import default_name
from launch.vllm import Vllm
from tests.gateway.serving import LocalServer

GPU = Memory("cuda", 80, 70)
VLLM = Vllm("vllm", "0.32.0", cpu=False)


def unready(detail: str) -> Response:
    checks = [{"check": "health", "passed": True}, {"check": "scores", "passed": False, "detail": detail}]
    return JSONResponse({"ready": False, "models": [{"name": "words", "checks": checks}]}, 503)


@pytest.fixture
async def answers() -> AsyncIterator[tuple[str, list[Response]]]:
    """The URL of a gateway, and what it answers to one question after the other; the last one stays."""
    given: list[Response] = []

    async def readyz(_: Request) -> Response:
        return given.pop(0) if len(given) > 1 else given[0]

    server = LocalServer(Starlette(routes=[Route("/readyz", readyz)]))
    await server.start()
    yield f"{server.url}/readyz", given
    await server.stop()


async def waited(url: str, monkeypatch: pytest.MonkeyPatch, **times: Any) -> str:
    """The lines of the console until the gateway is ready."""
    for name, seconds in times.items():
        monkeypatch.setattr(readiness, name, seconds)
    shown = StringIO()
    async with httpx.AsyncClient(trust_env=False) as client:
        await wait_for_gateway(client, url, Console(shown))
    return shown.getvalue()


async def test_why_it_is_not_ready_is_told_once_for_each_reason(
    answers: tuple[str, list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, given = answers
    broken = PlainTextResponse("bad gateway", 502)
    given += [unready("no template"), unready("no template"), broken, unready("too short"), JSONResponse({})]
    shown = await waited(url, monkeypatch, _EXPLAIN_AFTER_S=0.0, _GATEWAY_POLL_S=0.001)
    assert shown.splitlines() == [
        "gateway: not ready: words: scores: no template",
        "gateway: not ready: words: scores: too short",
    ]


async def test_a_short_wait_is_not_explained(
    answers: tuple[str, list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, given = answers
    given += [unready("no template"), unready("no template"), JSONResponse({})]
    assert await waited(url, monkeypatch, _GATEWAY_POLL_S=0.001) == ""


@pytest.mark.parametrize(
    ("machine", "kind", "said"),
    [
        (Machine(VLLM, GPU), "gpu", ""),
        (Machine(None, GPU), "cpu", "--install-vllm"),
        (Machine(VLLM, Memory("cpu", 80, 70)), "cpu", "No NVIDIA GPU"),
        (Machine(None, None), "cpu", "No NVIDIA GPU"),
    ],
)
def test_the_default_model_is_the_best_that_runs_here_and_a_lesser_one_is_explained(
    machine: Machine, kind: str, said: str
) -> None:
    known, shown = catalogue.read(), StringIO()
    assert default_name(known, machine, Console(shown)) == known.default_models[kind]
    assert said in shown.getvalue()
    assert bool(said) == bool(shown.getvalue())
