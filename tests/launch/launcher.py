"""A launcher over misbehaving programs: runs `supervise` on a responder, as `rerank engine` does on an engine.

python launcher.py LOG PORT FLAGS [SMALLER-FLAGS]
"""

import asyncio
import os
import sys
from pathlib import Path

from launch.console import Console
from launch.lifecycle import Policy
from launch.program import Attempt, EngineRole, Program
from launch.signals import stop_on_signals
from launch.supervisor import supervise

log, port, *attempts = sys.argv[1:]
responder = Path(__file__).parent / "responder.py"
program = Program(
    name="engine",
    attempts=[
        Attempt([sys.executable, str(responder), "--port", port, *flags.split()], f"attempt {number}")
        for number, flags in enumerate(attempts)
    ],
    health_url=f"http://127.0.0.1:{port}/health",
    log=Path(log),
    environment=os.environ,
    policy=Policy(attempts=len(attempts), start_timeout_s=3.0, stop_grace_s=0.5, backoff_s=0.1),
    engine=EngineRole("model"),
)


async def announce() -> None:
    print("all ready", flush=True)


async def main() -> int:
    with stop_on_signals() as stop:
        return await supervise([program], Console(), stop, once_ready=announce)


sys.exit(asyncio.run(main()))
