"""`rerank up` on real processes: its printed requests work as printed, and it leaves no process behind."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import httpx
import pytest
import yaml

from launch import catalogue
from launch.address import Address
from launch.console import Console
from launch.engine import Engine, prepare, prepare_all
from launch.errors import LaunchError
from launch.gateway_config import GatewayAddress, GatewayConfig, gateway_address, read_settings, with_engines
from launch.hardware import Memory
from launch.introduction import introduction
from launch.machine import Machine
from launch.memory import GIB
from launch.studio import studio_program
from launch.vllm import Vllm
from tests.launch.processes_alive import alive, children, wait_for

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Up:
    process: subprocess.Popen[str]
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def url(self) -> str:
        """The gateway's URL, once the introduction is printed."""
        wait_for(lambda: "Ctrl-C ends it" in self.said() or self.process.poll() is not None, "the introduction", 40)
        found = re.search(r"answers at (\S+) ", self.said())
        assert found, self.said()
        return found[1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Runs `rerank up` with arguments and variables, on any free port."""
    started: list[Up] = []

    def up(*arguments: str, studio: bool = False, **environment: str) -> Up:
        output = tmp_path / f"output-{len(started)}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "launch", "up", *arguments, *([] if studio else ["--no-ui"])],
                cwd=REPOSITORY,
                env={**clean, "RERANK_PORT": "0", "RERANK_UI_PORT": "0", "TMPDIR": str(tmp_path), **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        started.append(Up(process, output))
        return started[-1]

    yield up
    for one in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.stop()
        one.process.kill()


@pytest.fixture
def fake_vllm(tmp_path: Path) -> str:
    """An executable that can be given as --vllm."""
    script = tmp_path / "bin" / "vllm"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "fake_vllm.py"} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The folder of a cross-encoder, with the files that the launcher reads."""
    model = tmp_path / "my-model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 8192, "num_attention_heads": 1}))
    (model / "model.safetensors").write_bytes(b"")
    return str(model)


def printed_python(said: str) -> str:
    return said[said.index("import ", said.index("Python (")) : said.index("Ctrl-C ends it")]


def printed_shell(said: str) -> str:
    return said[said.index("curl -s") : said.index("Python (")]


def run(command: list[str], **environment: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    ).stdout


def test_what_is_printed_works_as_printed(start: Start) -> None:
    up = start("all-MiniLM-L6-v2")
    up.url()
    lines = run([sys.executable, "-c", printed_python(up.said())]).splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("Open Settings, choose Security and click on Forgot password.")
    assert all(0 <= float(line[:5]) <= 1 for line in lines)
    answer = json.loads(run(["bash", "-c", printed_shell(up.said())]))
    assert answer["results"][0]["index"] == 1
    assert up.stop() == 0


def test_with_keys_what_is_printed_works_and_shows_no_key(start: Start) -> None:
    up = start("all-MiniLM-L6-v2", RERANK_API_KEYS="s3cret,other")
    url = up.url()
    assert "s3cret" not in up.said()
    assert httpx.post(f"{url}/v2/rerank", json={"query": "a", "documents": ["b"]}, trust_env=False).status_code == 401
    lines = run([sys.executable, "-c", printed_python(up.said())], RERANK_API_KEY="s3cret").splitlines()
    assert lines[0].endswith("Forgot password.")
    answer = json.loads(run(["bash", "-c", printed_shell(up.said())], RERANK_API_KEY="other"))
    assert answer["results"][0]["index"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(start: Start, number: signal.Signals) -> None:
    up = start("all-MiniLM-L6-v2")
    up.url()
    started = [pid for pid, _ in children(up.process.pid)]
    assert len(started) == 3  # engine, gateway, reaper
    up.process.send_signal(number)
    wait_for(lambda: not any(map(alive, started)), "the end of all of them")
    assert up.process.wait(10) == (-number if number is signal.SIGKILL else 0)


def test_a_killed_gateway_is_started_again(start: Start) -> None:
    up = start("all-MiniLM-L6-v2")
    url = up.url()
    [pid] = [pid for pid, command in children(up.process.pid) if "gateway" in command]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: up.said().count("gateway: ready") == 2, "the gateway again")
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200


async def test_an_engine_killed_under_load_costs_503s_and_then_answers_again(start: Start) -> None:
    up = start("all-MiniLM-L6-v2")
    answers: list[httpx.Response] = []
    back = asyncio.Event()

    async def ask_until_it_is_back(client: httpx.AsyncClient) -> None:
        while not back.is_set():
            answer = await client.post("/v2/rerank", json={"query": "q", "documents": [f"{len(answers)} words"] * 20})
            answers.append(answer)
            if len(answers) == 20:
                os.kill(engine, signal.SIGKILL)
            if answer.status_code == 200 and any(earlier.status_code == 503 for earlier in answers):
                back.set()

    async with (
        httpx.AsyncClient(base_url=up.url(), trust_env=False, timeout=10) as client,
        asyncio.timeout(30),
        asyncio.TaskGroup() as load,
    ):
        [engine] = [pid for pid, command in children(up.process.pid) if "launch.embedded" in command]
        for _ in range(4):
            load.create_task(ask_until_it_is_back(client))
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)


def test_a_taken_port_is_one_clear_line_and_the_end(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start("all-MiniLM-L6-v2", RERANK_PORT=str(port))
        assert up.process.wait(20) == 1
    assert up.said() == (
        f"rerank: cannot listen on 127.0.0.1:{port}: Address already in use; choose another with RERANK_PORT\n"
    )


def test_a_wrong_setting_is_named_before_anything_starts(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("limits: {max_documents: none at all}\n")
    up = start("all-MiniLM-L6-v2", "--config", str(config))
    assert up.process.wait(20) == 1
    (line,) = up.said().splitlines()
    assert line.startswith("rerank: limits.max_documents: ")


def test_keys_emptied_by_the_environment_are_not_asked_for(start: Start, tmp_path: Path) -> None:
    """The environment overrides the file: the gateway has no keys, so the printed requests need none."""
    config = tmp_path / "mine.yaml"
    config.write_text("api_keys: [s3cret]\n")
    up = start("all-MiniLM-L6-v2", "--config", str(config), RERANK_API_KEYS="")
    up.url()
    assert "RERANK_API_KEY" not in up.said()
    assert json.loads(run(["bash", "-c", printed_shell(up.said())]))["results"][0]["index"] == 1


def test_a_host_that_only_begins_like_localhost_is_not_waited_for(start: Start) -> None:
    """Without keys the gateway listens on loopback only. localhost.example.com is some other machine."""
    up = start("all-MiniLM-L6-v2", RERANK_HOST="localhost.example.com")
    assert up.url().startswith("http://127.0.0.1:")


def test_a_folder_is_served_by_the_vllm_given(start: Start, fake_vllm: str, folder: str) -> None:
    up = start(folder, "--family", "cross-encoder", "--vllm", fake_vllm)
    lines = run([sys.executable, "-c", printed_python((up.url(), up.said())[1])]).splitlines()
    assert len(lines) == 3


def test_an_engine_out_of_memory_is_stepped_down_and_the_gateway_learns_it(
    start: Start, fake_vllm: str, folder: str, tmp_path: Path
) -> None:
    up = start(folder, "--family", "cross-encoder", "--vllm", fake_vllm, FAKE_VLLM_MEMORY_TOKENS="3000")
    url = up.url()
    assert "my-model: out of memory; now a context of 4096 tokens" in up.said()
    assert "my-model: out of memory; now a context of 2048 tokens" in up.said()
    [merged] = tmp_path.glob("rerank-*/gateway.yaml")
    assert yaml.safe_load(merged.read_text())["models"]["my-model"]["max_tokens"] == 2048
    wait_for(lambda: httpx.get(f"{url}/readyz", trust_env=False).status_code == 200, "the gateway with the new limit")


def test_an_engine_out_of_memory_at_its_smallest_is_given_up_with_advice(
    start: Start, fake_vllm: str, folder: str
) -> None:
    up = start(folder, "--family", "cross-encoder", "--vllm", fake_vllm, FAKE_VLLM_MEMORY_TOKENS="100")
    assert up.process.wait(20) == 1
    assert "my-model: ran out of memory before it was ready" in up.said()
    assert "my-model: these would fit: all-MiniLM-L6-v2 (0.2 GiB)" in up.said()


def test_several_models_answer_behind_one_gateway(start: Start, fake_vllm: str, folder: str) -> None:
    up = start("all-MiniLM-L6-v2", folder, "--family", "cross-encoder", "--vllm", fake_vllm)
    ask = {"query": "the red fox", "documents": ["a fox", "the red fox"]}
    url = up.url()
    for model in ("all-MiniLM-L6-v2", "my-model"):
        answer = httpx.post(f"{url}/v2/rerank", json={"model": model, **ask}, trust_env=False).json()
        assert (answer["meta"]["served_by"], answer["results"][0]["index"]) == (model, 1)


def test_a_lazy_engine_is_started_when_it_is_asked_for(start: Start) -> None:
    up = start("all-MiniLM-L6-v2", "--lazy")
    url = up.url()
    assert "No engine is loaded yet" in up.said()
    ask = {"query": "the red fox", "documents": ["a fox", "the red fox"]}
    with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:

        def state() -> object:
            return client.get("/v1/engines").json()["engines"][0]["state"]

        assert state() == "stopped"
        refused = client.post("/v2/rerank", json=ask)
        assert refused.status_code == 503
        assert "/v1/engines/all-MiniLM-L6-v2/load" in refused.text
        for _ in range(2):  # asked twice is asked once
            loading = client.post("/v1/engines/minilm/load")
            assert (loading.status_code, loading.json()["state"]) == (202, "loading")
        wait_for(lambda: state() == "ready", "the engine")
        assert client.post("/v2/rerank", json=ask).json()["results"][0]["index"] == 1
        assert client.post("/v1/engines/minilm/load").json()["state"] == "ready"
    assert len([1 for _, command in children(up.process.pid) if "launch.embedded" in command]) == 1
    assert up.stop() == 0


def test_a_lazy_engine_that_fails_says_why_and_leaves_the_gateway_running(
    start: Start, fake_vllm: str, folder: str
) -> None:
    up = start(folder, "--family", "cross-encoder", "--vllm", fake_vllm, "--lazy", FAKE_VLLM_MEMORY_TOKENS="100")
    with httpx.Client(base_url=up.url(), trust_env=False, timeout=10) as client:

        def engine() -> dict[str, object]:
            with contextlib.suppress(httpx.HTTPError):  # the gateway is restarted at each step down
                found: dict[str, object] = client.get("/v1/engines").json()["engines"][0]
                return found
            return {"state": "", "detail": ""}

        client.post("/v1/engines/my-model/load")
        wait_for(lambda: engine()["state"] == "failed", "the failure", 40)
        wait_for(lambda: "CUDA out of memory" in str(engine()["detail"]), "its cause")


def test_both_profiles_models_are_the_gateways_defaults_for_text_and_for_pictures() -> None:
    models = catalogue.read()
    both = [models.find("Qwen3-Reranker-4B"), models.find("Qwen3-VL-Reranker-8B")]
    machine = Machine(Vllm("vllm", "0.32.0", cpu=False), Memory("cuda", 80 * GIB, 78 * GIB))
    engines = prepare_all(both, models, machine)
    config = with_engines({}, engines, dict.fromkeys((model.name for model in both), 0))
    assert list(config["models"]) == ["Qwen3-Reranker-4B", "Qwen3-VL-Reranker-8B"]
    assert (config["default_model"], config["default_media_model"]) == tuple(config["models"])
    # One loads after the other: each would take the other's memory for its own.
    roles = [engine.program(Path("log"), {}).engine for engine in engines]
    assert [role and role.device for role in roles] == ["memory", "memory"]


def test_the_studio_is_given_a_key_by_its_environment_and_never_an_admins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("launch.studio.find_spec", lambda _name: True)
    environment = {"RERANK_ADMIN_KEYS": "root", "RERANK_UI_PORT": "0"}
    studio = studio_program("http://127.0.0.1:8000", "a-key", environment, tmp_path / "log", Console(StringIO()))
    assert studio
    assert studio.optional
    assert studio.environment["RERANK_API_KEY"] == "a-key"
    assert "root" not in studio.environment.values()
    assert "a-key" not in " ".join(studio.attempts[0].command)


@pytest.mark.parametrize("missing", [True, False], ids=["not installed", "port taken"])
def test_without_a_studio_it_says_so_and_goes_on(
    missing: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("launch.studio.find_spec", lambda _name: None if missing else True)
    said = StringIO()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {"RERANK_UI_PORT": str(taken.getsockname()[1])}
        assert studio_program("http://127.0.0.1:8000", "", environment, tmp_path / "log", Console(said)) is None
    assert said.getvalue().startswith("no studio: ui is not" if missing else "no studio: cannot listen on")


def _engine(name: str, version: str = "0.32.0", memory: Memory | None = None) -> Engine:
    models = catalogue.read()
    machine = Machine(Vllm("vllm", version, cpu=False), memory)
    return prepare(models.find(name), models, machine, Address("127.0.0.1", 4242))


def test_the_users_configuration_keeps_everything_but_the_default_model() -> None:
    mine = {"workers": 2, "default_model": "a", "models": {"a": {"family": "cross-encoder", "engine": "http://b"}}}
    engine = _engine("qwen3-4b", memory=Memory("cuda", 12 * GIB, int(11.2 * GIB)))
    assert with_engines(mine, [engine], {"Qwen3-Reranker-4B": 0}) == {
        "workers": 2,
        "default_model": "Qwen3-Reranker-4B",
        "models": {
            "a": {"family": "cross-encoder", "engine": "http://b"},
            "Qwen3-Reranker-4B": {
                "family": "qwen3-reranker",
                "engine": "http://127.0.0.1:4242",
                "hub": "Qwen/Qwen3-Reranker-4B",
                "dtype": "bfloat16",
                "tokenizer": "Qwen/Qwen3-Reranker-4B",
                "max_tokens": 4096,
                "aliases": ["qwen3-reranker", "qwen3-4b"],
                "instruction": "Given a web search query, retrieve relevant passages that answer the query",
            },
        },
    }


def test_the_gateway_is_told_the_authors_calibration() -> None:
    text = GatewayConfig(
        {}, [_engine("mxbai-rerank-large-v2")], {"url": "http://x", "token": "t"}, Path("unwritten")
    ).text()
    model = read_settings(text, {}).models["mxbai-rerank-large-v2"]
    assert (model.family, model.logit_mean, model.logit_sigma) == ("mxbai-rerank-v2", 6.0, None)


def test_a_vllm_that_needs_another_pillow_cannot_share_the_gateways_environment() -> None:
    models = catalogue.read()
    beside = str(Path(sys.executable).with_name("vllm"))

    def prepared(executable: str, version: str) -> list[Engine]:
        machine = Machine(Vllm(executable, version, cpu=False), None)
        return prepare_all([models.find("bge-m3")], models, machine)

    with pytest.raises(
        LaunchError, match=r"vLLM 0\.33\.0 needs Pillow 13.*--install-vllm, or give its path with --vllm"
    ):
        prepared(beside, "0.33.0")
    assert prepared(beside, "0.32.0")
    assert prepared("/opt/vllm/bin/vllm", "0.33.0")


@pytest.mark.parametrize(
    ("config", "environment", "url"),
    [
        ({}, {}, "http://127.0.0.1:8000"),
        ({"port": 9000, "host": "127.0.0.2"}, {}, "http://127.0.0.2:9000"),
        ({"port": 9000}, {"RERANK_PORT": "9001"}, "http://127.0.0.1:9001"),
        # Without a key the gateway keeps to this machine.
        ({"host": "10.1.2.3"}, {}, "http://127.0.0.1:8000"),
        ({"host": "10.1.2.3", "api_keys": ["k"]}, {}, "http://10.1.2.3:8000"),
        ({"host": "0.0.0.0"}, {"RERANK_API_KEYS": "k"}, "http://127.0.0.1:8000"),  # noqa: S104
        ({"host": "::1"}, {}, "http://[::1]:8000"),
        ({"host": "10.1.2.3", "api_keys": ["k"]}, {"RERANK_API_KEYS": ""}, "http://127.0.0.1:8000"),
        ({}, {"RERANK_HOST": "localhost.example.com"}, "http://127.0.0.1:8000"),
        # A container's own address, published on loopback only.
        ({"host": "0.0.0.0", "published_on": "127.0.0.1"}, {}, "http://127.0.0.1:8000"),  # noqa: S104
    ],
)
def test_the_printed_address_is_where_the_gateway_listens(
    config: dict[str, object], environment: Mapping[str, str], url: str
) -> None:
    text = GatewayConfig(config, [_engine("qwen3-4b")], {"url": "http://x", "token": "t"}, Path("unwritten")).text()
    assert gateway_address(read_settings(text, environment)).url == url


def test_the_introduction_is_short() -> None:
    assert len(introduction(GatewayAddress("127.0.0.1", 8000, needs_key=True), "Qwen3-Reranker-4B").splitlines()) < 35
