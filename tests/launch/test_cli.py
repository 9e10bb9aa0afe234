"""`rerank models`, `rerank engine --dry-run` and `rerank doctor`, as they are typed."""

import json
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import pytest

from launch.__main__ import main
from launch.console import Console
from launch.engine import free_port, wait_for


def test_models_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "FAMILY", "TAKES", "CONTEXT", "MEMORY", "VLLM", "FROM", "ALSO", "CALLED"]
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["Qwen3-Reranker-4B"][1:6] == ["qwen3-reranker", "text", "32768", "10.7", "GiB"]
    assert rows["Qwen3-Reranker-4B-FP8"][-1] == "0.18.0"
    assert rows["all-MiniLM-L6-v2"][6] == "embedded"


def test_a_dry_run_prints_a_command_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["engine", "qwen3-4b", "--dry-run", "--vllm-version", "0.33.0", "--port", "9", "--vllm", "/a b/vllm"]
    assert main([*arguments, "--max-tokens", "2048", "--engine-args=--seed 7"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:5] == ["VLLM_NO_USAGE_STATS=1", "PYTHONUNBUFFERED=1", "/a b/vllm", "serve", "Qwen/Qwen3-Reranker-4B"]
    assert json.loads(words[words.index("--hf-overrides") + 1])["classifier_from_token"] == ["no", "yes"]
    assert words[words.index("--max-model-len") + 1] == "2048"
    assert words[-2:] == ["--seed", "7"]


def test_a_dry_run_of_the_embedded_engine_needs_no_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "minilm", "--dry-run"]) == 0
    assert "-m launch.embedded --host 127.0.0.1 --port 8001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["engine", "qwen3-reranker-4", "--dry-run"], "no model called 'qwen3-reranker-4'; did you mean"),
        (["engine", "qwen3-4b", "--dry-run", "--vllm-version", "0.9.1"], "Qwen3-Reranker-4B needs vLLM 0.9.2 or later"),
        (["engine", "qwen3-4b", "--vllm", "/no/vllm"], "/no/vllm is not a working vLLM"),
        (["engine", ".", "--dry-run"], "is a folder: say which --family it is"),
        (["up", "minilm", "--config", "/no/file"], "/no/file: [Errno 2] No such file"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert complaint in said and len(said.splitlines()) == 1


def test_the_vllm_beside_its_python_is_asked_for_its_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vllm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").write_text("#!/bin/sh\necho vllm 0.9.2\n")
    for script in tmp_path.iterdir():
        script.chmod(0o755)
    assert main(["engine", "qwen3-4b", "--dry-run", "--vllm", str(tmp_path / "vllm")]) == 0
    assert "--task score" in capsys.readouterr().out


REPORTS = {
    "healthy": (200, True, "passed  0.32.0"),
    "sick": (503, False, "FAILED  0.32.0"),
}


@pytest.fixture(params=REPORTS)
def gateway(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool, str]]:
    """A gateway's /readyz."""
    status, passed, row = REPORTS[request.param]
    checks = [{"check": "version", "passed": passed, "detail": "0.32.0"}]
    body = json.dumps({"ready": passed, "models": [{"name": "m", "ready": passed, "checks": checks}]}).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", passed, row
        server.shutdown()
        thread.join()


def test_doctor_prints_the_checks_and_fails_with_them(
    gateway: tuple[str, bool, str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, passed, row = gateway
    assert main(["doctor", "--gateway", url]) == (0 if passed else 1)
    assert capsys.readouterr().out == f"MODEL  CHECK    RESULT  DETAIL\nm      version  {row}\n"


def test_doctor_fails_when_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["doctor", "--gateway", url]) == 1
    assert capsys.readouterr().err == f"rerank: no gateway answers at {url} (ConnectError)\n"


def test_an_engine_waits_for_the_one_it_comes_after() -> None:
    asked: list[int] = []

    class Loading(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(503 if not asked else 200)
            self.send_response(asked[-1])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Loading) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            wait_for(f"http://127.0.0.1:{server.server_port}", Console(StringIO()))
        finally:
            server.shutdown()
            thread.join()
    assert asked == [503, 200]
