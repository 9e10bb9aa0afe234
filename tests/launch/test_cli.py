"""`rerank models`, `rerank engine --dry-run` and `rerank doctor`, as a person types them."""

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest

from launch.__main__ import main
from launch.address import free_port
from launch.console import Console
from launch.readiness import wait_for_engine

REPOSITORY = Path(__file__).parents[2]


def test_models_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "FAMILY", "TAKES", "CONTEXT", "GIB", "LICENCE", "LANGUAGES", "PROVED"]
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["Qwen3-Reranker-4B"][1:6] == ["qwen3-reranker", "text", "32768", "10.7", "Apache-2.0"]
    assert rows["Qwen3-Reranker-4B-FP8"][-2:] == ["not", "run"]
    assert rows["Qwen3-VL-Reranker-2B"][2] == "text,media"
    assert rows["jina-reranker-m0"][2] == "text"  # it reads pictures, but the gateway sends it none
    assert rows["jina-reranker-m0"][5] == "CC-BY-NC"
    assert max(len(line) for line in (head, *lines)) <= 120


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


def test_a_dry_run_as_json_holds_command_and_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "qwen3-4b", "--dry-run", "--vllm-version", "0.33.0", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"][:3] == ["vllm", "serve", "Qwen/Qwen3-Reranker-4B"]
    assert printed["environment"]["VLLM_NO_USAGE_STATS"] == "1"


def test_models_as_json_say_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["Qwen3-Reranker-4B"]["memory_gib"] == 10.7
    assert models["Qwen3-Reranker-4B-FP8"]["vllm_from"] == "0.18.0"
    assert models["all-MiniLM-L6-v2"]["engine"] == "embedded"
    assert models["jina-reranker-m0"]["licence"] == "CC-BY-NC-4.0"
    assert models["bge-reranker-base"]["languages"] == "zh en"
    assert models["gte-multilingual-reranker-base"]["proved"] == "not run"


@pytest.mark.parametrize("command", [[], ["up"], ["engine"], ["models"], ["doctor"]], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_examples(command: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, flag]) == 0
    examples = capsys.readouterr().out.partition("Examples:")[2]
    assert f"  rerank {' '.join(command)}" in examples


def test_without_a_command_the_help_is_shown_and_the_status_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rerank {version('rerank-gateway')}\n"


@pytest.mark.parametrize(
    ("line", "completed"),
    [("rerank up Qwen3-Reranker-4B-", "Qwen3-Reranker-4B-AWQ"), ("rerank up --profile v", "vision")],
)
def test_a_shell_completes_names(line: str, completed: str) -> None:
    variables = {"_RERANK_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    command = [sys.executable, "-m", "launch"]
    answer = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert completed in answer.stdout.split()


def test_an_engine_runs_where_the_gateway_is_absent(tmp_path: Path) -> None:
    """vLLM's image gets launch/ and models.yaml only."""
    (tmp_path / "launch").symlink_to(REPOSITORY / "launch")
    (tmp_path / "models.yaml").symlink_to(REPOSITORY / "models.yaml")
    code = (
        "import sys; sys.modules['gateway'] = None\n"
        "from launch import foreground, embedded\n"
        "from launch.__main__ import main\n"
        "sys.exit(main(['engine', 'minilm', '--dry-run']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False
    )
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["up", "--no-such-option"], "No such option: --no-such-option"),
        (["engine"], "Missing argument 'NAME'"),
        (["engine", "minilm", "--port", "x"], "'--port': Input should be a valid integer"),
        (["up", "--profile", "smell"], "--profile: 'smell' is none of text, vision, both"),
        (["engines"], "No such command 'engines'"),
        (["engine", "minilm", "--json"], "--json goes with --dry-run"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_status_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["up", "minilm", "embedded"], "the same model twice"),
        (["up", "minilm", "--profile", "text"], "name models or a --profile, not both"),
        (["engine", "qwen3-reranker-4", "--dry-run"], "no model called 'qwen3-reranker-4'; did you mean"),
        (["engine", "qwen3-4b", "--dry-run", "--vllm-version", "0.9.1"], "Qwen3-Reranker-4B needs vLLM 0.9.2 or later"),
        (["engine", "qwen3-4b", "--vllm", "/no/vllm"], "/no/vllm is not a working vLLM"),
        (["engine", ".", "--dry-run"], "holds no readable config.json"),
        (
            ["engine", "./no-such", "--dry-run"],
            "./no-such is not in the catalogue, and it is no id of the Hugging Face hub",
        ),
        (["up", "minilm", "--config", "/no/file"], "/no/file: [Errno 2] No such file"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1


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
    """A stand-in for a gateway's /readyz, with its health and its row in the table."""
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


def test_doctor_prints_the_gateways_report_as_json(
    gateway: tuple[str, bool, str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, passed, _ = gateway
    assert main(["doctor", "--gateway", url, "--json"]) == (0 if passed else 1)
    report = json.loads(capsys.readouterr().out)
    assert report["ready"] is passed
    assert report["models"][0]["checks"][0]["check"] == "version"


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
            wait_for_engine(f"http://127.0.0.1:{server.server_port}", Console(StringIO()))
        finally:
            server.shutdown()
            thread.join()
    assert asked == [503, 200]
