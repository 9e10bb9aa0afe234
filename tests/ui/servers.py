"""Servers of the browser's tests: real programs in their own process groups, and others in a background loop."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from gateway import app
from gateway.settings import load
from launch.address import free_port
from tests.gateway.serving import LocalServer
from tests.gateway.tokenizer import qwen_like, save
from tests.launch.processes_alive import wait_for
from tests.stub_engine import StubEngine

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60
T = TypeVar("T")


class Program:
    """A running `python -m ...`, and its output."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process, self._output = process, output

    def said(self, pattern: str) -> str:
        """First group of a pattern, as soon as the output has it."""

        def found() -> re.Match[str] | None:
            assert self._process.poll() is None, self._output.read_text()
            return re.search(pattern, self._output.read_text())

        wait_for(found, pattern, DEADLINE_S)
        match = found()
        assert match
        return match[1]


@contextlib.contextmanager
def program(folder: Path, *words: str, **environment: str) -> Iterator[Program]:
    """Run `python -m` until the block ends. It writes to `folder` only, and its children end with it."""
    output = folder / f"{words[0]}-{free_port()}.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RERANK_", "GRADIO_"))}
    own = {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=REPOSITORY,
            env={**clean, **own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Program(process, output)
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def studio(folder: Path, gateway: str, *words: str) -> Iterator[str]:
    """URL of a studio in front of that gateway. It may not answer at once."""
    port = free_port()
    with program(folder, "ui", "--gateway", gateway, "--api-key", "right-key", "--port", str(port), *words):
        yield f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=10, trust_env=False).is_success
    return False


class BackgroundLoop:
    """An event loop in a thread of its own. Playwright uses the tests' thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="background", daemon=True)
        self._thread.start()

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()


class TcpProxy:
    """A TCP proxy with a changeable target. A change of target breaks the open connections."""

    def __init__(self) -> None:
        self._to: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listener)

    async def lead(self, to: int | None) -> None:
        self._to = to
        for writer in [*self._writers]:
            writer.transport.abort()

    async def stop(self) -> None:
        self._server.close()
        await self.lead(None)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self._to is not None:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
                # The end of one side ends the other.
                await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


class Turnstile(asyncio.Event):
    """Gate of a stub engine that lets the first calls through at once, and the others when it is set."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self._free = free

    async def wait(self) -> Any:
        self._free -= 1
        return self._free >= 0 or await super().wait()


class Bench:
    """A stub engine for texts, pictures and videos, and the gateways that a test puts in front of it."""

    def __init__(self, background: BackgroundLoop, proxy: TcpProxy, folder: Path) -> None:
        self._loop, self._proxy, self._folder = background, proxy, folder
        self._servers: list[LocalServer] = []
        self.engine = background(self._engine())
        self.gateway = ""

    def serve(self, *families: str, **settings: Any) -> None:
        """Serve a gateway with a model of each family. The first is the default."""
        # The tokenizer is a decoder's, which joins no pair.
        prompted = {"tokenizer": str(self._folder)}
        models = {
            f"stub-{family}": {
                "family": family,
                "engine": self.engine.url,
                **({} if family == "cross-encoder" else prompted),
            }
            for family in families or ("cross-encoder",)
        }
        server = LocalServer(app.build(load(yaml.safe_dump({"models": models, "cache": "none", **settings}), {})))
        self.start(server)
        self.gateway = server.url
        self.lead(server.url)

    def start(self, server: LocalServer) -> None:
        self._loop(server.start())
        self._servers.append(server)

    def lead(self, url: str | None) -> None:
        """Connect the studio to this server, or to none."""
        self._loop(self._proxy.lead(int(url.rpartition(":")[2]) if url else None))

    def mend(self) -> None:
        """Repair the engine and the gateway. Their addresses stay."""
        self.engine.instead, self.engine.distort = lambda: None, list
        self._loop(self.engine.stop())
        self._loop(self.engine.start())
        self.serve()

    def stop_engine(self) -> None:
        self._loop(self.engine.stop())

    def asked_elsewhere(self) -> None:
        """Send another client's request for one text, and wait for its answer."""
        ask = {"query": "another", "documents": ["text"]}
        httpx.post(f"{self.gateway}/v2/rerank", json=ask, timeout=30, trust_env=False).raise_for_status()

    def hold(self, after: int = 0) -> None:
        """Let the engine answer so many calls, and no further ones until `release`."""
        self.engine.gate = Turnstile(after)

    def release(self) -> None:
        self._loop.loop.call_soon_threadsafe(self.engine.gate.set)

    def in_flight(self) -> int:
        """Count of requests in progress at the gateway."""
        text = httpx.get(f"{self.gateway}/metrics", timeout=10, trust_env=False).text
        found = re.search(r"^rerank_requests_in_flight (\d+)", text, re.MULTILINE)
        assert found, text
        return int(found[1])

    def close(self) -> None:
        self.release()
        self.lead(None)
        for server in reversed(self._servers):
            self._loop(server.stop())
        self._loop(self.engine.stop())

    async def _engine(self) -> StubEngine:
        engine = StubEngine(qwen_like())
        save(qwen_like(), self._folder)
        await engine.start()
        return engine
