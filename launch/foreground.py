"""`rerank engine`: runs one engine in the foreground."""

import sys
from collections.abc import Mapping

from launch.address import refuse_if_taken
from launch.console import Console
from launch.engine import Engine
from launch.supervisor import supervise
from launch.workspace import run_in_workspace


def run(engine: Engine, environment: Mapping[str, str]) -> int:
    """Run the engine until it is told to stop; returns the exit status. Raises LaunchError if its port is taken."""
    refuse_if_taken(engine.address, change_with="--port")
    console = Console(sys.stdout, environment)

    async def introduce() -> None:
        console.say(f"{engine.model.name} serves vLLM's API at {engine.address.url}. Ctrl-C ends it.")

    return run_in_workspace(
        lambda folder, stop: supervise(
            [engine.program(folder / "engine.log", environment)], console, stop, once_ready=introduce
        )
    )
