"""The embedded engine as a real process on a free port."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from launch.address import free_port
from tests.launch.processes_alive import wait_for

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def scores(self, query: str, *documents: str) -> list[float]:
        answer = httpx.post(
            f"{self.url}/score", json={"text_1": query, "text_2": documents}, timeout=60
        ).raise_for_status()
        return [entry["score"] for entry in answer.json()["data"]]

    def tokens(self, query: str, *documents: str) -> int:
        """The tokens that the engine counts for these pairs."""
        answer = httpx.post(f"{self.url}/score", json={"text_1": query, "text_2": documents}, timeout=60)
        return int(answer.raise_for_status().json()["usage"]["prompt_tokens"])

    def wait_until_running(self, requests: int) -> None:
        """Return when the engine works on so many requests. Fails the test if it does not within 20 s."""
        gauge = f'vllm:num_requests_running{{model_name="all-MiniLM-L6-v2"}} {float(requests)}'
        wait_for(lambda: gauge in httpx.get(f"{self.url}/metrics").text, f"{requests} requests at work")


@contextlib.contextmanager
def started(
    cache: Path,
    log: Path,
    *arguments: str,
    hub_cache: Path | None = None,
    python_path: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Engine]:
    """An engine that answers. Raises RuntimeError with its log if it ends before that."""
    port = free_port()
    command = [sys.executable, "-m", "launch.embedded", "--port", str(port), "--cache", str(cache), *arguments]
    if hub_cache:
        command += ["--hub-cache", str(hub_cache)]
    path = {"PYTHONPATH": str(python_path)} if python_path else {}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stderr=output, cwd=REPOSITORY, env={**os.environ, **path, **(environment or {})}
        )
    try:
        engine = Engine(f"http://127.0.0.1:{port}", process, log)
        _wait(engine)
        yield engine
    finally:
        process.terminate()
        process.wait(20)


def _wait(engine: Engine) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{engine.url}/health").raise_for_status()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.process.wait(0.05)
            raise RuntimeError(engine.log.read_text())
    raise RuntimeError("the embedded engine does not answer after 30 s")
