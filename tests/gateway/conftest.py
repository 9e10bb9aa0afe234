"""A stub engine and the gateway in front of it, both on real ports; `serve` takes any other settings."""

import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway import app
from gateway.settings import load
from tests.gateway.redis_server import RedisServer
from tests.gateway.serving import LocalServer
from tests.stub_engine import StubEngine

MODEL = "words"
# Reading the system's certificates for every client takes longer than most tests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
Serve = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def engine() -> AsyncIterator[StubEngine]:
    stub = StubEngine()
    await stub.start()
    yield stub
    await stub.stop()


@pytest.fixture
async def serve(engine: StubEngine) -> AsyncIterator[Serve]:
    """`await serve(api_keys=["k"], model={"hub": "org/name"})`: a client of a gateway with these settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, model: dict[str, Any] | None = None, **settings: Any) -> httpx.AsyncClient:
            served = {"family": "cross-encoder", "engine": engine.url, "aliases": ["small"], **(model or {})}
            text = yaml.safe_dump({"models": {MODEL: served}, **settings})
            server = LocalServer(app.build(load(text, {})))
            await server.start()
            stack.push_async_callback(server.stop)
            return await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30, verify=NO_TLS))

        yield start


@pytest.fixture
async def client(serve: Serve) -> httpx.AsyncClient:
    return await serve()


@pytest.fixture
async def redis(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: the tests of the shared cache did not run")
    server = RedisServer(tmp_path, unused_tcp_port)
    await server.start()
    yield server
    await server.kill()
