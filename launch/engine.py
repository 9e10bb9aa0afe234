"""One engine as a program to supervise: which command lines to try, and what the gateway must know of it."""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from launch import memory
from launch.catalogue import Catalogue, LaunchError, Model
from launch.command import embedded_command, engine_environment, parse_version, vllm_command
from launch.console import Console
from launch.embedded.packaged import packaged_folder
from launch.lifecycle import Policy
from launch.memory import Memory, Plan
from launch.supervisor import Attempt, Program
from launch.vllm import Vllm

_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A model, where it will answer, and the plans to start it with: the preferred one, then the smaller ones."""

    model: Model
    host: str
    port: int
    commands: Sequence[Sequence[str]]
    plans: Sequence[Plan] = ()
    memory_advice: str = ""

    @property
    def url(self) -> str:
        return url_of(self.host, self.port)

    def max_tokens(self, attempt: int) -> int:
        return self.plans[attempt].max_model_len if self.plans else self.model.max_tokens

    def settings(self, attempt: int) -> dict[str, Any]:
        """The model's entry in the gateway's configuration."""
        model = self.model
        entry = {
            "family": model.family,
            "engine": self.url,
            # A folder's weights may be anything: without a hub id nobody expects them to tell Paris from pancakes.
            "hub": None if model.is_folder else model.hub,
            "revision": model.revision,
            "dtype": model.dtype,
            "tokenizer": _tokenizer(model),
            "max_tokens": self.max_tokens(attempt),
            "max_tokens_per_doc": model.max_tokens_per_doc,
            "aliases": list(model.aliases),
            "instruction": model.instruction,
        }
        return {name: value for name, value in entry.items() if value is not None}

    def program(self, log: Path, environment: Mapping[str, str], **options: Any) -> Program:
        notes = [memory.describe(plan) for plan in self.plans] or [""]
        return Program(
            name=f"engine {self.model.name}",
            attempts=[Attempt(command, note) for command, note in zip(self.commands, notes, strict=True)],
            health_url=f"{self.url}/health",
            log=log,
            environment=engine_environment(environment),
            policy=Policy(attempts=len(self.commands)),
            died_of_memory=memory.died_of_memory,
            memory_advice=self.memory_advice,
            loads_onto="memory" if self.plans else "",
            model=self.model.name,
            **options,
        )


def prepare(
    model: Model,
    catalogue: Catalogue,
    vllm: Vllm | None,
    free: Memory | None,
    *,
    port: int,
    host: str = "127.0.0.1",
    extra: Sequence[str] = (),
) -> Engine:
    """The engine for `model`; `free` None means the memory is unknown. Raises LaunchError when it cannot run."""
    if model.engine == "embedded":
        return Engine(model, host, port, [embedded_command(host=host, port=port, extra=extra)])
    if vllm is None:
        raise LaunchError(
            f"{model.name} runs in vLLM, and no working one is here: "
            "give its path with --vllm, or install it with --install-vllm (NVIDIA GPU)"
        )
    advice = _advice(model, catalogue, free)
    try:
        first = memory.plan(model, free) if free else memory.default_plan(model)
    except memory.DoesNotFitError as error:
        raise LaunchError(f"{error}; {advice}") from error
    plans = list(dict.fromkeys([first, *memory.step_downs(first)]))
    commands = [
        vllm_command(model, vllm.version, plan, host=host, port=port, executable=vllm.executable, extra=extra)
        for plan in plans
    ]
    return Engine(model, host, port, commands, plans, advice)


def prepare_all(
    models: Sequence[Model],
    catalogue: Catalogue,
    vllm: Vllm | None,
    free: Memory | None,
    extra: Sequence[str] = (),
) -> list[Engine]:
    """Engines for models of one machine, its memory split among them. Raises LaunchError where it is too small."""
    big = [model for model in models if model.engine == "vllm"]
    part = dict.fromkeys((model.name for model in big), free)
    if vllm and len(big) > 1:
        if free is None:
            raise LaunchError("the free memory cannot be read, so it cannot be split: use `rerank engine` for each")
        part = dict(zip(part, memory.shares(big, free), strict=True))
    return [prepare(model, catalogue, vllm, part.get(model.name), port=free_port(), extra=extra) for model in models]


def _tokenizer(model: Model) -> str | None:
    """Where the gateway finds the model's tokenizer: beside the packaged weights, in its folder, or on the hub.

    None for a folder without one: then only vLLM knows what fits.
    """
    packaged = packaged_folder() if model.engine == "embedded" else None
    if packaged:
        return str(packaged / "tokenizer.json")
    return None if model.is_folder and not Path(model.hub, "tokenizer.json").exists() else model.hub


def oldest_vllm(model: Model) -> str:
    """The first vLLM for the model behind the gateway, which asks for more than serving it alone does."""
    return max(model.min_vllm, model.min_vllm_gateway or model.min_vllm, key=parse_version)


def refuse_what_the_gateway_cannot_serve(model: Model, vllm: Vllm | None) -> None:
    """Raises LaunchError for a model or a vLLM that the gateway in front of it would not get right."""
    needed = oldest_vllm(model)
    if vllm and model.engine == "vllm" and parse_version(vllm.version) < parse_version(needed):
        raise LaunchError(f"the gateway needs vLLM {needed} or later for {model.name}, and this is {vllm.version}")


def available_memory(vllm: Vllm | None, visible_gpus: str | None) -> Memory | None:
    """What this vLLM could use now."""
    if vllm is None or not vllm.cpu:
        return memory.free_gpu_memory(visible_gpus)
    return memory.free_cpu_memory()


def _advice(model: Model, catalogue: Catalogue, free: Memory | None) -> str:
    """What to try instead of a model that does not fit."""
    fitting = memory.alternatives(model, catalogue.models, free)
    if not fitting:
        return "no smaller model of its family fits either: `rerank up all-MiniLM-L6-v2` needs no GPU"
    return "these would fit: " + ", ".join(f"{other.name} ({memory.needed_gib(other):.1f} GiB)" for other in fitting)


def url_of(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port() -> int:
    """A port of this machine nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_if_taken(host: str, port: int, *, change_with: str) -> None:
    """Raises LaunchError when somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise LaunchError(f"cannot listen on {host}:{port}: {reason}; choose another with {change_with}") from error


def wait_for(url: str, console: Console) -> None:
    """Returns when the engine at `url` is ready, however long that takes: its weights may have to be downloaded.

    Two that start on one GPU would each take the other's memory for its own.
    """
    console.say(f"Waiting for {url} to be ready")
    while not _is_ready(url):
        time.sleep(_POLL_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=_POLL_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False
