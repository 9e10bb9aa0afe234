"""A launcher over misbehaving programs: runs `supervise` on a responder, as `rerank engine` does on an engine.

python launcher.py LOG PORT FLAGS [SMALLER-FLAGS]
"""

import asyncio
import os
import sys
from pathlib import Path

from launch.console import Console
from launch.lifecycle import Policy
from launch.memory import died_of_memory
from launch.supervisor import Attempt, Program, supervise

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
    died_of_memory=died_of_memory,
)


async def announce() -> None:
    print("all ready", flush=True)


sys.exit(asyncio.run(supervise([program], Console(), once_ready=announce)))
