"""Processes of the tests on free loopback ports: vLLM on the CPU, and the gateway in front of it."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from launch import catalogue
from launch.address import Address
from launch.command import vllm_command
from launch.memory import default_plan
from launch.vllm import TESTED_VLLM, Vllm
from tests.vllm.provision import REPOSITORY, VLLM
from tests.vllm.tiny_model import TinyModel
from tests.vllm.tiny_vl_model import TinyVlModel

LOGS = REPOSITORY / ".cache" / "vllm-tests"
MODEL = "tiny-reranker"
MAX_TOKENS = 2048
VISION_TOKENS = 8192
START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 20

# These turn Qwen3ForCausalLM into the classifier of P(yes). vLLM documents them for Qwen3-Reranker.
OVERRIDES = (
    '{"architectures":["Qwen3ForSequenceClassification"],'
    '"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true}'
)
# The name by which `rerank engine` tells the gateway that its engine has these flags.
MARKER = "recipe:qwen3-reranker:by-hand"
# vLLM's worker within its engine's process saves a third of the start: 22 s instead of 35. For the CPU it is allowed
# only with the variable, since threads are then not bound to cores, for which tiny models have no use.
ONE_WORKER = ("--distributed-executor-backend", "uni")
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
# This variable overrides --kv-cache-memory-bytes, in whole gigabytes.
HUNGRY = "VLLM_CPU_KVCACHE_SPACE"


@dataclass(frozen=True, slots=True)
class Engine:
    url: str
    model: TinyModel | TinyVlModel


@contextlib.contextmanager
def vllm(name: str, model: TinyModel | TinyVlModel, chat_template: Path | None = None) -> Iterator[Engine]:
    """`vllm serve` with `model`, ready to answer. It takes 20 to 60 s to start, and 1.6 GB."""
    port = free_port()
    command = [
        *(VLLM, "serve", model.folder(), "--served-model-name", MODEL, MARKER),
        *("--host", "127.0.0.1", "--port", str(port), "--hf-overrides", OVERRIDES),
        *("--dtype", model.dtype, "--max-model-len", str(MAX_TOKENS)),
        *("--enforce-eager", "--kv-cache-memory-bytes", "64M", *ONE_WORKER),
        *(("--chat-template", chat_template) if chat_template else ()),
    ]
    url = f"http://127.0.0.1:{port}"
    with running(name, command, f"{url}/health"):
        yield Engine(url, model)


@contextlib.contextmanager
def vision_engine(name: str, model: TinyVlModel, extra: Sequence[str] = ()) -> Iterator[Engine]:
    """The launcher's own command for a VL reranker, with sizes for the CPU: 25 to 60 s to start, 1.7 GB of memory."""
    port = free_port()
    known = catalogue.read().folder(model.folder(), "qwen3-vl-reranker", VISION_TOKENS)
    sizes = ("--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", "256M", *ONE_WORKER)
    plan = dataclasses.replace(default_plan(known), kv_cache_bytes=None, gpu_memory_utilization=None)
    command = vllm_command(
        known, Vllm(str(VLLM), TESTED_VLLM, cpu=True), plan, Address("127.0.0.1", port), (*sizes, *extra)
    )
    url = f"http://127.0.0.1:{port}"
    with running(name, command, f"{url}/health"):
        yield Engine(url, model)


def vision_model(engine: Engine) -> dict[str, object]:
    """Entry of `models` in the gateway's configuration."""
    tokenizer = str(engine.model.folder())
    return {
        "family": "qwen3-vl-reranker",
        "engine": engine.url,
        "tokenizer": tokenizer,
        "max_tokens": VISION_TOKENS,
    }


def gateway_model(engine: Engine) -> dict[str, object]:
    """Entry of `models` in the gateway's configuration."""
    return {
        "family": "qwen3-reranker",
        "engine": engine.url,
        "tokenizer": str(engine.model.folder()),
        "max_tokens": MAX_TOKENS,
    }


@contextlib.contextmanager
def gateway(
    name: str,
    models: Mapping[str, Mapping[str, object]],
    *,
    ready_within_s: float = START_TIMEOUT_S,
    wait_for: str = "/readyz",
    **settings: object,
) -> Iterator[str]:
    """Base URL of `python -m gateway` with these `models` in its configuration file, once `wait_for` answers 200."""
    port = free_port()
    # Without a cache, so that vLLM answers every request.
    config = {"host": "127.0.0.1", "port": port, "cache": "none", "models": models, **settings}
    file = LOGS / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config))
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [sys.executable, "-m", "gateway", "--config", file]
    with running(name, command, f"{url}{wait_for}", within_s=ready_within_s):
        yield url


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str | Path], ready_url: str, *, within_s: float = START_TIMEOUT_S
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends. The block is entered when `ready_url` answers 200."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if key != HUNGRY} | QUIET
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # vLLM is three processes: they are ended as one group
        )
    try:
        wait_until_ready(process, ready_url, log, within_s)
        yield process
    finally:
        end_group(process)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    answer = "nothing"
    while process.poll() is None and time.monotonic() < deadline:
        try:
            response = httpx.get(url, timeout=5)
        except httpx.TransportError as error:
            answer = repr(error)
        else:
            if response.is_success:
                return
            answer = response.text
        time.sleep(0.2)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    raise RuntimeError(f"{url} did not get ready: {answer}\nthe end of {log}:\n{last_lines}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
