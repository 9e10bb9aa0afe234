"""Runs programs as `lifecycle` decides: the one loop that starts, watches and ends real processes."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from launch.console import Console
from launch.lifecycle import Action, Event, Exited, Fact, GiveUp, Group, Phase, Policy, Say, Spawn, State, step
from launch.progress import progress
from launch.reaper import Reaper, signal_group
from launch.status_server import STATES, StatusServer

_TICK_S = 0.1
_PROBE_S = {Phase.STARTING: 0.2}
_LAZY_PROBE_S = 2.0
_PROBE_TIMEOUT_S = 5.0
# vLLM names the cause some ninety lines before its last: two tracebacks of other processes follow.
_LAST_LINES = 400
_SHOWN_LINES = 12
_NAMED_ERROR = re.compile(r"(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception): .+)")
_LOG_BYTES = 16 << 20
# How long the rest of a group may take to end once its leader has: vLLM's workers free shared memory.
_LEFTOVER_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to start a program; `note` is said when it is taken."""

    command: Sequence[str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running. Its attempts go from the preferred one to those that need less memory."""

    name: str
    attempts: Sequence[Attempt]
    health_url: str
    log: Path
    environment: Mapping[str, str]
    policy: Policy = field(default_factory=Policy)
    died_of_memory: Callable[[Iterable[str]], bool] = lambda _lines: False
    # Said when the smallest attempt ran out of memory too.
    memory_advice: str = ""
    # Called with the number of a smaller attempt before it is started; the programs named are restarted with it.
    before_step_down: Callable[[int], None] = lambda _attempt: None
    restarts: Sequence[str] = ()
    idle: bool = False  # not started before it is asked for
    optional: bool = False  # given up, it leaves the others running
    # Of the programs that load onto one device one starts at a time: each would take the others' memory for its own.
    loads_onto: str = ""
    model: str = ""  # an engine's: the name by which its state is told and its start asked for


async def supervise(
    programs: Sequence[Program],
    console: Console,
    *,
    once_ready: Callable[[], Awaitable[None]] | None = None,
    status_server: StatusServer | None = None,
) -> int:
    """Runs the programs until they are told to stop (returns 0) or one of them is given up (1).

    SIGINT, SIGTERM and SIGHUP ask them to stop, a second one kills. `once_ready` is called when all of them that
    are started are ready for the first time. Who asks `status_server` is told of those with a `model`, and starts them.
    """
    inbox = _Inbox()
    failed = False
    async with contextlib.AsyncExitStack() as stack:
        reaper = stack.enter_context(Reaper())
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=_PROBE_TIMEOUT_S))
        await stack.enter_async_context(_posting(inbox))
        watched = {program.name: _Watched(program, console, reaper, client, inbox) for program in programs}
        if status_server:
            stack.enter_context(status_server)
            _serve_status(status_server, watched.values(), inbox)
        while not all(one.state.over for one in watched.values()):
            name, event = await inbox.get()
            for one in watched.values() if name is EVERYBODY else [watched[name]]:
                if event is Fact.TICK and _must_wait(one, watched.values()):
                    continue
                if one.take(event) and not one.program.optional:
                    failed = True
                    inbox.put_nowait((EVERYBODY, Fact.STOP))
            _show_progress(watched.values(), console)
            if once_ready and all(map(_settled, watched.values())):
                await stack.enter_async_context(_background(once_ready()))
                once_ready = None
    return int(failed)


EVERYBODY = ""
_Inbox = asyncio.Queue[tuple[str, Event]]  # the name of a program, or EVERYBODY


class _Watched:
    """A program with its state and, while it runs, its process."""

    def __init__(
        self, program: Program, console: Console, reaper: Reaper, client: httpx.AsyncClient, inbox: _Inbox
    ) -> None:
        self.program = program
        self.state = State(phase=Phase.IDLE) if program.idle else State()
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._screen, self._reaper, self._client, self._inbox = console, reaper, client, inbox
        self._process: subprocess.Popen[bytes] | None = None
        self._attempt = 0
        self._following: asyncio.Task[None] | None = None

    def take(self, event: Event) -> bool:
        """Lets the event change the state and does what that asks for; True when the program is given up."""
        self.state, actions = step(self.state, event, time.monotonic(), self.program.policy)
        for action in actions:
            self._do(action)
        return any(isinstance(action, GiveUp) for action in actions)

    def lines(self) -> list[str]:
        """A copy of its last lines, for any thread: the one that follows the process may be adding to them."""
        for _ in range(8):
            with contextlib.suppress(RuntimeError):  # changed while it was copied
                return list(self.last_lines)
        return []

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(attempt):
                self._spawn(attempt)
            case Say(text):
                self._screen.say(f"{self.program.name}: {text}")
            case GiveUp(reason):
                self._give_up(reason)
            case Group.TERMINATE if self._process:
                signal_group(self._process.pid, signal.SIGTERM)
            case Group.KILL if self._process:
                signal_group(self._process.pid, signal.SIGKILL)

    def _spawn(self, attempt: int) -> None:
        way = self.program.attempts[attempt]
        if attempt != self._attempt:
            self._attempt = attempt
            self._screen.say(f"{self.program.name}: out of memory; now {way.note}")
            self.program.before_step_down(attempt)
            for other in self.program.restarts:
                self._inbox.put_nowait((other, Fact.RESTART))
        self.last_lines.clear()
        try:
            # A session of its own: Ctrl-C reaches the launcher only, and the whole group can be ended at once.
            self._process = subprocess.Popen(
                way.command,
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self.last_lines.append(f"{way.command[0]}: {error.strerror}")
            self._inbox.put_nowait((self.program.name, Exited(127)))
            return
        self._reaper.watch(self._process.pid)
        self._following = asyncio.create_task(self._follow(self._process))

    async def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Reports on the process from its start to the end of its last descendant."""
        reader = threading.Thread(target=_drain, args=(process, self.program.log, self.last_lines), daemon=True)
        reader.start()
        async with _background(self._probe()):
            await asyncio.to_thread(process.wait)
        await _end_leftovers(process.pid)
        await asyncio.to_thread(reader.join, 1.0)
        self._reaper.forget(process.pid)
        out_of_memory = self.program.died_of_memory(list(self.last_lines))
        self._inbox.put_nowait((self.program.name, Exited(process.returncode, out_of_memory)))

    async def _probe(self) -> None:
        while True:
            try:
                healthy = (await self._client.get(self.program.health_url)).status_code == 200
            except httpx.HTTPError:
                healthy = False
            self._inbox.put_nowait((self.program.name, Fact.HEALTHY if healthy else Fact.UNHEALTHY))
            await asyncio.sleep(_PROBE_S.get(self.state.phase, _LAZY_PROBE_S))

    def _give_up(self, reason: str) -> None:
        said = "\n".join(f"  | {line}" for line in telling(self.last_lines))
        self._screen.say(f"{self.program.name}: {reason}. It said, and {self.program.log} has it all:\n{said}")
        if self.program.memory_advice and self.program.died_of_memory(list(self.last_lines)):
            self._screen.say(f"{self.program.name}: {self.program.memory_advice}")


def _serve_status(status_server: StatusServer, watched: Iterable[_Watched], inbox: _Inbox) -> None:
    engines = {one.program.model: one for one in watched if one.program.model}
    loop = asyncio.get_running_loop()

    def start(model: str) -> None:
        event = (engines[model].program.name, Fact.START)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(inbox.put_nowait, event)

    status_server.of(lambda: {model: _told(one) for model, one in engines.items()}, start)


def _told(one: _Watched) -> dict[str, Any]:
    """A program's state in words. Called from another thread: it reads a frozen state and a copy of the lines."""
    phase, lines = one.state.phase, one.lines()
    how_far = progress(lines) if phase is Phase.STARTING else None
    detail = ""
    if phase is Phase.FAILED:
        detail = next(iter(telling(lines)), "")
    elif how_far:
        detail = how_far.stage
    return {"state": STATES[phase], "progress": how_far and how_far.share, "detail": detail[:300]}


def _must_wait(one: _Watched, others: Iterable[_Watched]) -> bool:
    device = one.program.loads_onto
    return one.state.phase is Phase.WAITING and any(
        other.state.phase is Phase.STARTING and other.program.loads_onto == device != "" for other in others
    )


def _settled(one: _Watched) -> bool:
    phase = one.state.phase
    return phase in (Phase.READY, Phase.IDLE) or (one.program.optional and phase is Phase.FAILED)


def telling(lines: Iterable[str]) -> list[str]:
    """What to show of a program that failed: the errors it named, and its very last lines."""
    said = list(lines)
    named = list(dict.fromkeys(match[1] for line in said if (match := _NAMED_ERROR.search(line))))
    last = said[-_SHOWN_LINES + len(named[:3]) :]
    return [*(error for error in named[:3] if error not in last), *last]


async def _end_leftovers(group: int) -> None:
    """Ends what is left of a group whose leader is gone: vLLM's workers hold the GPU that a restart needs."""
    deadline = time.monotonic() + _LEFTOVER_GRACE_S
    left = signal_group(group, signal.SIGTERM)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(_TICK_S)
        left = signal_group(group, 0)
    if left:
        signal_group(group, signal.SIGKILL)


def _drain(process: subprocess.Popen[bytes], log: Path, last_lines: deque[str]) -> None:
    """Copies what the process prints to its log and, line by line, to `last_lines`; runs in a thread."""
    assert process.stdout
    rest = ""
    with process.stdout as pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            if log.exists() and log.stat().st_size > _LOG_BYTES:
                log.replace(log.with_suffix(".old"))
            with log.open("ab") as file:
                file.write(chunk)
            # A carriage return redraws a progress bar: each drawing counts as a line.
            *lines, rest = re.split(r"[\r\n]+", rest + chunk.decode(errors="replace"))
            last_lines.extend(line for line in lines if line.strip())
            rest = rest[-4096:]
    if rest.strip():
        last_lines.append(rest)


def _show_progress(watched: Iterable[_Watched], console: Console) -> None:
    starting = [one for one in watched if one.state.phase is Phase.STARTING]
    if starting:
        slowest = min(starting, key=lambda one: one.state.since_s)
        elapsed_s = time.monotonic() - slowest.state.since_s
        last = slowest.last_lines[-1].strip() if slowest.last_lines else ""
        console.progress(f"{slowest.program.name}: starting, {elapsed_s:.0f} s  {last}")


@contextlib.asynccontextmanager
async def _posting(inbox: _Inbox) -> AsyncIterator[None]:
    """Posts ticks, and signals as requests to stop: a handler only queues, the loop acts."""
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it is to be ignored
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, inbox.put_nowait, (EVERYBODY, Fact.STOP))

    async def tick() -> None:
        while True:
            inbox.put_nowait((EVERYBODY, Fact.TICK))
            await asyncio.sleep(_TICK_S)

    async with _background(tick()):
        yield
    for number in signals:
        loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _background(work: Awaitable[None]) -> AsyncIterator[None]:
    """Runs `work` beside the body and cancels it at its end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
