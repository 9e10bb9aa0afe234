"""Servers of the benchmark. Each is a process of its own on a free loopback port."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bench.load import PASSAGES, Server
from bench.provision import RIVAL
from tests.vllm.provision import REPOSITORY, VLLM
from tests.vllm.servers import LOGS, free_port, running
from tests.vllm.tiny_model import TinyModel

TINY = TinyModel(seed=1)
Models = Mapping[str, Mapping[str, object]]
CONTROL_TOKENS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


@contextlib.contextmanager
def gateway(
    models: Models, *, checkout: Path = REPOSITORY, name: str = "bench-gateway", **settings: object
) -> Iterator[Server]:
    """A gateway with one worker over these `models` of its configuration, from the code of `checkout`."""
    port = free_port()
    command = gateway_command(name, port, models, checkout=checkout, **settings)
    with _serving(name, command, port, "/healthz") as server:
        yield server


def gateway_command(
    name: str, port: int, models: Models, *, checkout: Path = REPOSITORY, **settings: object
) -> list[str | Path]:
    """Command that becomes the gateway's process. Its configuration is written to a file of this name."""
    config = _written(f"{name}.yaml", {"port": port, "models": models, **settings})
    # `python -m` takes the working directory's code before any installed one.
    return ["env", "-C", checkout, f"PYTHONPATH={checkout}", sys.executable, "-m", "gateway", "--config", config]


@contextlib.contextmanager
def stub_engine() -> Iterator[Server]:
    port = free_port()
    with _serving(
        "bench-stub",
        [sys.executable, "-m", "bench.stub", str(port), str(tokenizer() / "tokenizer.json")],
        port,
        "/health",
    ) as server:
        yield server


@contextlib.contextmanager
def studio(gateway: Server) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "ui", "--gateway", gateway.url, "--port", str(port)]
    with _serving("bench-studio", command, port, "/") as server:
        yield server


@contextlib.contextmanager
def litellm(engine: Server) -> Iterator[Server]:
    """LiteLLM's proxy with one worker, without keys or a database, and with its own cache in memory."""
    port = free_port()
    config = _written(
        "bench-litellm.yaml",
        {
            "model_list": [
                {"model_name": "m", "litellm_params": {"model": "hosted_vllm/m", "api_base": engine.url}},
            ],
            "litellm_settings": {
                "cache": True,
                "cache_params": {"type": "local", "supported_call_types": ["rerank", "arerank"]},
            },
        },
    )
    environment = (
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true",
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
        "LITELLM_LOG=ERROR",
    )
    options: list[str | Path] = ["--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    command = ["env", *environment, RIVAL.executable("litellm"), *options, "--telemetry", "False"]
    with _serving("bench-litellm", command, port, "/health/liveliness") as server:
        yield server


def tokenizer() -> Path:
    """Folder of a tokenizer.json: Qwen's first 12,000 byte pairs, or without vLLM pairs learned from our passages."""
    if VLLM.exists():
        return TINY.folder()
    folder = LOGS / "bench-tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learned.train_from_iterator(
        [PASSAGES], trainers.BpeTrainer(special_tokens=CONTROL_TOKENS, initial_alphabet=alphabet)
    )
    learned.save(str(folder / "tokenizer.json"))
    return folder


@contextlib.contextmanager
def _serving(name: str, command: Sequence[str | Path], port: int, ready: str) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    with running(name, command, url + ready) as process:
        yield Server(url, process.pid)


def _written(name: str, config: Mapping[str, object]) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    file = LOGS / name
    file.write_text(yaml.safe_dump(config))
    return file
