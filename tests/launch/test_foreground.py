"""Programs that run alone: an engine in the foreground, a container's gateway, the reaper."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from launch.address import free_port
from launch.reaper import reap
from tests.launch.processes_alive import alive, wait_for

REPOSITORY = Path(__file__).parents[2]


class Running:
    """A process of ours, with all that it has written."""

    def __init__(self, output: Path, *words: str, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
        self._output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=REPOSITORY,
                env={**clean, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self, pattern: str) -> str:
        """The first group of a pattern that it writes sooner or later."""
        wait_for(lambda: re.search(pattern, self._output.read_text()) or self.process.poll() is not None, pattern, 40)
        found = re.search(pattern, self._output.read_text())
        assert found, self._output.read_text()
        return found[1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


Run = Callable[..., Running]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts `python -m WORDS` with these variables; ends it with the test."""
    with contextlib.ExitStack() as stack:

        def start(*words: str, **environment: str) -> Running:
            running = Running(tmp_path / "output", *words, TMPDIR=str(tmp_path), **environment)
            stack.callback(running.process.wait, 20)
            stack.callback(running.process.kill)
            return running

        yield start


def test_an_engine_in_the_foreground_says_where_it_serves_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    running = run("launch", "engine", "minilm", "--port", str(free_port()), CUDA_VISIBLE_DEVICES="")
    url = running.said(r"serves vLLM's API at (\S+)\. Ctrl-C ends it")
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post("/score", json={"text_1": "a", "text_2": ["a", "b"]}, timeout=30).json()
        assert answer["data"][0]["score"] > answer["data"][1]["score"]
        assert running.stop() == 0
        with pytest.raises(httpx.ConnectError):
            client.get("/health")
    assert not list(tmp_path.glob("rerank-*"))


def test_a_containers_gateway_answers_for_the_engines_beside_it(run: Run, tmp_path: Path) -> None:
    engines = [
        "--engine",
        "minilm",
        "http://127.0.0.1:1",
        "512",
        "--engine",
        "qwen3-reranker",
        "http://no.invalid:1",
        "",
    ]
    running = run("launch.container", "--state", str(tmp_path), *engines, RERANK_PORT="0")
    url = running.said(r"(http://\S+)")
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/healthz").is_success
        assert [model["name"] for model in client.get("/readyz").json()["models"]] == ["all-MiniLM-L6-v2"]


def test_a_container_without_engines_ends_with_one_line(run: Run, tmp_path: Path) -> None:
    running = run("launch.container", "--state", str(tmp_path), "--engine", "minilm", "http://no.invalid:1", "")
    assert running.said(r"rerank: no engine is beside this gateway: (\S+)\n$") == "no.invalid"
    assert running.process.wait(20) == 1


def test_the_reaper_ends_what_is_left_and_nothing_that_was_forgotten() -> None:
    waiting = [sys.executable, "-c", "import signal; signal.pause()"]
    left, forgotten = (subprocess.Popen(waiting, start_new_session=True) for _ in range(2))
    # Like the launcher's own death: a dead child stays in its group until somebody asks for its status.
    asking = threading.Thread(target=left.wait, args=(20,))
    asking.start()
    try:
        reap([f"+{left.pid}\n", f"+{forgotten.pid}\n", f"-{forgotten.pid}\n"])
        asking.join(20)
        assert left.returncode == -signal.SIGTERM
        assert alive(forgotten.pid)
    finally:
        forgotten.kill()
        forgotten.wait(20)
