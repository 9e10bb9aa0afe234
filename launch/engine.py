"""An engine: a model at an address, and the command lines that start it on this machine."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from launch import memory
from launch.address import Address, free_port
from launch.catalogue import Catalogue, Model
from launch.command import embedded_command, engine_environment, vllm_command
from launch.errors import LaunchError
from launch.hardware import Memory
from launch.lifecycle import Policy
from launch.machine import Machine
from launch.memory import Plan
from launch.program import Attempt, EngineRole, Program
from launch.vllm import Vllm, parse_version

_NEEDS_PILLOW_13 = (0, 33, 0)


@dataclass(frozen=True, slots=True)
class Engine:
    """A model at an address, with a command line for each memory plan: the preferred plan first, then smaller ones."""

    model: Model
    address: Address
    commands: Sequence[Sequence[str]]
    plans: Sequence[Plan] = ()
    memory_advice: str = ""

    def max_tokens(self, attempt: int) -> int:
        """The longest prompt that the engine takes when it runs with plan number `attempt`."""
        return self.plans[attempt].max_model_len if self.plans else self.model.max_tokens

    def program(
        self,
        log: Path,
        environment: Mapping[str, str],
        *,
        on_step_down: Callable[[int], None] = lambda _attempt: None,
        restarts: Sequence[str] = (),
        lazy: bool = False,
    ) -> Program:
        """The engine as a program. `lazy`: started on request, and the others go on when it fails."""
        notes = [memory.describe(plan) for plan in self.plans] or [""]
        return Program(
            name=f"engine {self.model.name}",
            attempts=[Attempt(command, note) for command, note in zip(self.commands, notes, strict=True)],
            health_url=f"{self.address.url}/health",
            log=log,
            environment=engine_environment(environment),
            policy=Policy(attempts=len(self.commands)),
            idle=lazy,
            optional=lazy,
            engine=EngineRole(
                model=self.model.name,
                device="memory" if self.plans else "",
                memory_advice=self.memory_advice,
                on_step_down=on_step_down,
                restarts=restarts,
            ),
        )


def prepare(
    model: Model, catalogue: Catalogue, machine: Machine, address: Address, extra: Sequence[str] = ()
) -> Engine:
    """The engine for `model` on this machine. `extra` are more arguments for it, which win.

    Raises LaunchError if it cannot run here.
    """
    model = _placed(model, machine)
    if model.engine == "embedded":
        return Engine(model, address, [embedded_command(model, address, extra)])
    vllm = machine.vllm
    if vllm is None:
        raise LaunchError(
            f"{model.name} runs in vLLM, and no working one is here: "
            "give its path with --vllm, or install it with --install-vllm (NVIDIA GPU)"
        )
    advice = _advice(model, catalogue, machine.memory)
    try:
        first = memory.plan(model, machine.memory) if machine.memory else memory.default_plan(model)
    except memory.DoesNotFitError as error:
        raise LaunchError(f"{error}; {advice}") from error
    plans = list(dict.fromkeys([first, *memory.step_downs(first)]))
    commands = [vllm_command(model, vllm, plan, address, extra) for plan in plans]
    return Engine(model, address, commands, plans, advice)


def prepare_all(
    models: Sequence[Model], catalogue: Catalogue, machine: Machine, extra: Sequence[str] = ()
) -> list[Engine]:
    """Engines on free ports of this machine, its memory split among them. Raises LaunchError if it is too small."""
    models = [_placed(model, machine) for model in models]
    for model in models:
        _refuse_old_vllm(model, machine.vllm)
        _refuse_shared_environment(model, machine.vllm)
    served = [model for model in models if model.engine == "vllm"]
    parts = dict.fromkeys((model.name for model in served), machine.memory)
    if machine.vllm and len(served) > 1:
        if machine.memory is None:
            raise LaunchError("the free memory cannot be read, so it cannot be split: use `rerank engine` for each")
        parts = dict(zip(parts, memory.shares(served, machine.memory), strict=True))
    return [
        prepare(
            model,
            catalogue,
            Machine(machine.vllm, parts.get(model.name)),
            Address("127.0.0.1", free_port()),
            extra,
        )
        for model in models
    ]


def _placed(model: Model, machine: Machine) -> Model:
    """The model with the engine that runs it on this machine."""
    if model.embeddable and machine.vllm is None:
        return msgspec.structs.replace(model, engine="embedded")
    return model


def oldest_vllm(model: Model) -> str:
    """The first vLLM for the model behind the gateway, which may need a newer one than the scores do."""
    return max(model.min_vllm, model.min_vllm_gateway or model.min_vllm, key=parse_version)


def _refuse_old_vllm(model: Model, vllm: Vllm | None) -> None:
    """Raise LaunchError if the gateway cannot get the model's right scores from this vLLM."""
    needed = oldest_vllm(model)
    if vllm and model.engine == "vllm" and parse_version(vllm.version) < parse_version(needed):
        raise LaunchError(f"the gateway needs vLLM {needed} or later for {model.name}, and this is {vllm.version}")


def _refuse_shared_environment(model: Model, vllm: Vllm | None) -> None:
    """Raise LaunchError if this vLLM lies in the environment that the gateway runs in and needs another Pillow.

    Pillow decodes and scales pictures, and the gateway's counts of their tokens hold for its own version only.
    """
    if model.engine != "vllm" or vllm is None or parse_version(vllm.version) < _NEEDS_PILLOW_13:
        return
    if Path(vllm.executable).parent == Path(sys.executable).parent:
        raise LaunchError(
            f"vLLM {vllm.version} needs Pillow 13, so it cannot share the gateway's environment: "
            "install it in one of its own (--install-vllm, or give its path with --vllm)"
        )


def _advice(model: Model, catalogue: Catalogue, free: Memory | None) -> str:
    """Suggestions for a model that does not fit."""
    fitting = memory.alternatives(model, catalogue.models, free)
    if not fitting:
        anywhere = catalogue.default_models.get("cpu", "")
        return f"no smaller model of its family fits either: `rerank up {anywhere}` needs no GPU"
    return "these would fit: " + ", ".join(f"{other.name} ({memory.needed_gib(other):.1f} GiB)" for other in fitting)
