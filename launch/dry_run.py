"""`rerank engine --dry-run`: prints the command of an engine instead of running it."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from launch import machine
from launch.command import ENVIRONMENT
from launch.engine import Engine
from launch.machine import Machine
from launch.vllm import TESTED_VLLM, Vllm


def dry_run_machine(executable: Path | None, version: str | None, environment: Mapping[str, str]) -> Machine:
    """The machine to print a command for: this one, or any machine with vLLM `version` if that is given.

    Without an installed vLLM it is a machine with the tested version.
    """
    if version is None:
        here = machine.measure(executable, environment)
        if here.vllm:
            return here
    name = str(executable) if executable else "vllm"
    return Machine(Vllm(name, version or TESTED_VLLM, cpu=False), memory=None)


def print_command(engine: Engine, *, as_json: bool) -> None:
    """Print the engine's preferred command as a line for a shell, or as JSON."""
    command = list(engine.commands[0])
    if as_json:
        print(json.dumps({"environment": ENVIRONMENT, "command": command}, indent=2))
    else:
        print(" ".join([*(f"{name}={value}" for name, value in ENVIRONMENT.items()), shlex.join(command)]))
