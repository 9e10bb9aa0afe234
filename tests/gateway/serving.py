"""Real servers and real processes for the tests, on loopback ports of the system's choice."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_S = 30
# A measured run measures the gateway's process too.
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


class LocalServer:
    """An ASGI application served in the test's own loop; when it starts again it has the same port."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._port = 0
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        # With the protocol named: without it asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self._application, log_config=None, access_log=False)
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listener])

    async def stop(self) -> None:
        """Ends like a killed process: no answer is finished. (Uvicorn's own way takes 0.2 s, in hundreds of tests.)"""
        if self._server is None:
            return
        for server in self._server.servers:
            server.close()
        self.break_connections()
        tasks = list(self._server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.lifespan.shutdown()
        self._server = None

    def break_connections(self) -> None:
        """Every connection ends now, in the middle of whatever it carries."""
        if self._server is not None:
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()


class GatewayProcess:
    """`python -m gateway`, with what it wrote to stderr so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def line_with(self, text: str) -> str:
        """The next line of stderr that holds `text`."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if text in line:
                    return line
        raise AssertionError(f"it ended without saying {text!r}: {self.said}")

    async def url(self) -> str:
        return next(word for word in (await self.line_with("http://")).split() if word.startswith("http://"))

    async def ended(self) -> int:
        """Its exit status, when it has ended."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            self.said += (await self.process.stderr.read()).decode().splitlines(keepends=True)
            return await self.process.wait()


@contextlib.asynccontextmanager
async def gateway_process(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
    """Runs `python -m gateway` with these arguments until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **MEASURED, **(environ or {})},
        stderr=asyncio.subprocess.PIPE,
    )
    gateway = GatewayProcess(process)
    try:
        yield gateway
    finally:
        if process.returncode is None:
            process.terminate()
        await gateway.ended()


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; fails after a time in which it should have."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes too
            await asyncio.sleep(0.001)
