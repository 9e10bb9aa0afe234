"""A child of the supervisor: one program, the state of its life, and its process group while it runs."""

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

import httpx

from launch.console import Console
from launch.engine_log import died_of_memory, excerpt
from launch.lifecycle import Action, Event, Exited, Fact, GiveUp, Group, Phase, Say, Spawn, State, StepDown, step
from launch.output import Output
from launch.program import Program
from launch.reaper import Reaper, signal_group
from launch.tasks import background

EVERYBODY = ""
Inbox = asyncio.Queue[tuple[str, Event]]  # the name of a program, or EVERYBODY

_PROBE_S = {Phase.STARTING: 0.2}
_LAZY_PROBE_S = 2.0
_POLL_S = 0.1
# vLLM's workers need time to free shared memory after their leader has ended.
_LEFTOVER_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts of the supervisor that all children share."""

    console: Console
    reaper: Reaper
    client: httpx.AsyncClient
    inbox: Inbox


class Child:
    """One program under supervision. Its methods are for the supervisor's event loop.

    `state` and `output` may be read from any thread.
    """

    def __init__(self, program: Program, surroundings: Surroundings) -> None:
        self.program = program
        self.state = State(phase=Phase.IDLE) if program.idle else State()
        self.output = Output(program.log)
        self._around = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._following: asyncio.Task[None] | None = None

    def handle(self, event: Event) -> bool:
        """Advance the state by `event` and carry out the actions. True if the program was given up."""
        self.state, actions = step(self.state, event, time.monotonic(), self.program.policy)
        for action in actions:
            self._do(action)
        return any(isinstance(action, GiveUp) for action in actions)

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(attempt):
                self._spawn(attempt)
            case StepDown(attempt):
                self._step_down(attempt)
            case Say(text):
                self._say(text)
            case GiveUp(reason):
                self._give_up(reason)
            case Group.TERMINATE if self._process:
                signal_group(self._process.pid, signal.SIGTERM)
            case Group.KILL if self._process:
                signal_group(self._process.pid, signal.SIGKILL)

    def _say(self, text: str) -> None:
        self._around.console.say(f"{self.program.name}: {text}")

    def _spawn(self, attempt: int) -> None:
        command = self.program.attempts[attempt].command
        self.output.clear()
        try:
            # In a session of its own the child does not see Ctrl-C, and one signal ends its whole group.
            self._process = subprocess.Popen(
                command,
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self.output.add(f"{command[0]}: {error.strerror}")
            self._around.inbox.put_nowait((self.program.name, Exited(127)))
            return
        self._around.reaper.watch(self._process.pid)
        self._following = asyncio.create_task(self._follow(self._process))

    def _step_down(self, attempt: int) -> None:
        self._say(f"out of memory; now {self.program.attempts[attempt].note}")
        if self.program.engine:
            self.program.engine.on_step_down(attempt)
            for other in self.program.engine.restarts:
                self._around.inbox.put_nowait((other, Fact.RESTART))

    def _give_up(self, reason: str) -> None:
        lines = self.output.lines()
        shown = "\n".join(f"  | {line}" for line in excerpt(lines))
        self._say(f"{reason}. Its last lines follow, {self.program.log} has all of them:\n{shown}")
        if self.program.engine and self.program.engine.memory_advice and died_of_memory(lines):
            self._say(self.program.engine.memory_advice)

    async def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Report on the process from its start to the end of its last descendant."""
        reader = threading.Thread(target=self.output.drain, args=(process.stdout,), daemon=True)
        reader.start()
        async with background(self._probe()):
            await asyncio.to_thread(process.wait)
        await _end_leftovers(process.pid)
        await asyncio.to_thread(reader.join, 1.0)
        self._around.reaper.forget(process.pid)
        out_of_memory = self.program.engine is not None and died_of_memory(self.output.lines())
        self._around.inbox.put_nowait((self.program.name, Exited(process.returncode, out_of_memory)))

    async def _probe(self) -> None:
        while True:
            try:
                healthy = (await self._around.client.get(self.program.health_url)).status_code == 200
            except httpx.HTTPError:
                healthy = False
            self._around.inbox.put_nowait((self.program.name, Fact.HEALTHY if healthy else Fact.UNHEALTHY))
            await asyncio.sleep(_PROBE_S.get(self.state.phase, _LAZY_PROBE_S))


async def _end_leftovers(group: int) -> None:
    """End the rest of a process group whose leader is gone. vLLM's workers hold the GPU that a restart needs."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEFTOVER_GRACE_S):
            left = signal_group(group, signal.SIGTERM)
            while left:
                await asyncio.sleep(_POLL_S)
                left = signal_group(group, 0)
            return
    signal_group(group, signal.SIGKILL)
