"""What the browser's tests run against: real programs in their own process groups, and servers beside the tests."""

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
from launch.engine import free_port
from tests.gateway.serving import LocalServer
from tests.gateway.tokenizer import qwen_like, save
from tests.launch.processes_alive import wait_for
from tests.stub_engine import StubEngine

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60
T = TypeVar("T")


class Program:
    """`python -m ...` from its start to the end of the block, with what it said."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process, self._output = process, output

    def said(self, pattern: str) -> str:
        """The first group of a pattern that it prints sooner or later."""

        def found() -> re.Match[str] | None:
            assert self._process.poll() is None, self._output.read_text()
            return re.search(pattern, self._output.read_text())

        wait_for(found, pattern, DEADLINE_S)
        match = found()
        assert match
        return match[1]


@contextlib.contextmanager
def program(folder: Path, *words: str, **environment: str) -> Iterator[Program]:
    """Everything it writes is in `folder`; everything it starts ends with it."""
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
    """The URL of a studio in front of that gateway; it may answer a little later."""
    port = free_port()
    with program(folder, "ui", "--gateway", gateway, "--api-key", "right-key", "--port", str(port), *words):
        yield f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=10, trust_env=False).is_success
    return False


class Beside:
    """An event loop in a thread: Playwright has this one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="beside", daemon=True)
        self._thread.start()

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()


class Line:
    """A port that leads to another one, and may be led elsewhere: what is connected by then is cut off."""

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
                # Whichever side ends, the other is told.
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
    """As the gate of a stub engine: lets the first calls through, and the others when it is set."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self._free = free

    async def wait(self) -> Any:
        self._free -= 1
        return self._free >= 0 or await super().wait()


class Bench:
    """A stub engine that reads texts, pictures and videos, and in front of it whichever gateway a test asks for."""

    def __init__(self, beside: Beside, line: Line, folder: Path) -> None:
        self._beside, self._line, self._folder = beside, line, folder
        self._servers: list[LocalServer] = []
        self.engine = beside(self._engine())
        self.gateway = ""

    def serve(self, *families: str, **settings: Any) -> None:
        """A gateway with a model of each family; the first is the default."""
        models = {
            f"stub-{family}": {"family": family, "engine": self.engine.url, "tokenizer": str(self._folder)}
            for family in families or ("cross-encoder",)
        }
        server = LocalServer(app.build(load(yaml.safe_dump({"models": models, "cache": "none", **settings}), {})))
        self.start(server)
        self.gateway = server.url
        self.lead(server.url)

    def start(self, server: LocalServer) -> None:
        self._beside(server.start())
        self._servers.append(server)

    def lead(self, url: str | None) -> None:
        """Has the studio talk to what is there, or to nobody."""
        self._beside(self._line.lead(int(url.rpartition(":")[2]) if url else None))

    def mend(self) -> None:
        """All is well again, at the same addresses."""
        self.engine.instead, self.engine.distort = lambda: None, list
        self._beside(self.engine.stop())
        self._beside(self.engine.start())
        self.serve()

    def stop_engine(self) -> None:
        self._beside(self.engine.stop())

    def asked_elsewhere(self) -> None:
        """Somebody else's request for one text, to the end."""
        ask = {"query": "another", "documents": ["text"]}
        httpx.post(f"{self.gateway}/v2/rerank", json=ask, timeout=30, trust_env=False).raise_for_status()

    def hold(self, after: int = 0) -> None:
        """Lets the engine answer so many calls, and no more until `release`."""
        self.engine.gate = Turnstile(after)

    def release(self) -> None:
        self._beside.loop.call_soon_threadsafe(self.engine.gate.set)

    def in_flight(self) -> int:
        """How many requests the gateway works on."""
        text = httpx.get(f"{self.gateway}/metrics", timeout=10, trust_env=False).text
        found = re.search(r"^rerank_requests_in_flight (\d+)", text, re.MULTILINE)
        assert found, text
        return int(found[1])

    def close(self) -> None:
        self.release()
        self.lead(None)
        for server in reversed(self._servers):
            self._beside(server.stop())
        self._beside(self.engine.stop())

    async def _engine(self) -> StubEngine:
        engine = StubEngine(qwen_like())
        save(qwen_like(), self._folder)
        await engine.start()
        return engine
