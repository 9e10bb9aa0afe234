"""The one loop that starts, watches and ends programs, as `lifecycle` decides."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpx

from launch.child import EVERYBODY, Child, Inbox, Surroundings
from launch.console import Console
from launch.lifecycle import Fact, Phase
from launch.program import Program
from launch.reaper import Reaper
from launch.status_server import StatusServer, status
from launch.tasks import background

_TICK_S = 0.1
_PROBE_TIMEOUT_S = 5.0


async def supervise(
    programs: Sequence[Program],
    console: Console,
    stop: asyncio.Event,
    *,
    once_ready: Callable[[], Awaitable[None]] | None = None,
    status_server: StatusServer | None = None,
) -> int:
    """Run the programs until `stop` is set (returns 0) or one of them is given up (returns 1).

    `stop` is cleared when it has been seen. Setting it again kills what has not ended yet. The loop handles no signals,
    so it may run in any thread. `once_ready` is awaited when all started programs are ready for the first time.
    `status_server` reports the engines among the programs and can start them.
    """
    inbox: Inbox = asyncio.Queue()
    failed = False
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(console.progress, "")
        reaper = stack.enter_context(Reaper())
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=_PROBE_TIMEOUT_S))
        await stack.enter_async_context(background(_post_ticks(inbox)))
        await stack.enter_async_context(background(_post_stops(stop, inbox)))
        around = Surroundings(console, reaper, client, inbox)
        children = {program.name: Child(program, around) for program in programs}
        if status_server:
            stack.enter_context(status_server)
            _publish(children.values(), status_server, inbox)
        while not all(child.state.over for child in children.values()):
            name, event = await inbox.get()
            for child in children.values() if name is EVERYBODY else [children[name]]:
                if event is Fact.TICK and _must_wait(child, children.values()):
                    continue
                if child.handle(event) and not child.program.optional:
                    failed = True
                    inbox.put_nowait((EVERYBODY, Fact.STOP))
            console.progress(_progress_line(children.values()))
            if once_ready and all(map(_settled, children.values())):
                await stack.enter_async_context(background(once_ready()))
                once_ready = None
    return int(failed)


async def _post_ticks(inbox: Inbox) -> None:
    while True:
        inbox.put_nowait((EVERYBODY, Fact.TICK))
        await asyncio.sleep(_TICK_S)


async def _post_stops(stop: asyncio.Event, inbox: Inbox) -> None:
    while True:
        await stop.wait()
        stop.clear()
        inbox.put_nowait((EVERYBODY, Fact.STOP))


def _publish(children: Iterable[Child], server: StatusServer, inbox: Inbox) -> None:
    """Let the status server, which runs in threads of its own, report the engines and post requests to start them."""
    engines = {child.program.engine.model: child for child in children if child.program.engine}
    loop = asyncio.get_running_loop()

    def start(model: str) -> None:
        event = (engines[model].program.name, Fact.START)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(inbox.put_nowait, event)

    server.serve(
        lambda: {model: status(child.state.phase, child.output.lines()) for model, child in engines.items()}, start
    )


def _must_wait(child: Child, others: Iterable[Child]) -> bool:
    """True for an engine that is due while another one loads onto its device."""
    device = child.program.engine.device if child.program.engine else ""
    return (
        device != ""
        and child.state.phase is Phase.WAITING
        and any(
            other.state.phase is Phase.STARTING and other.program.engine and other.program.engine.device == device
            for other in others
        )
    )


def _settled(child: Child) -> bool:
    phase = child.state.phase
    return phase in (Phase.READY, Phase.IDLE) or (child.program.optional and phase is Phase.FAILED)


def _progress_line(children: Iterable[Child]) -> str:
    """The program that has been starting for the longest time, with its last line; empty if none is starting."""
    starting = [child for child in children if child.state.phase is Phase.STARTING]
    if not starting:
        return ""
    slowest = min(starting, key=lambda child: child.state.since_s)
    elapsed_s = time.monotonic() - slowest.state.since_s
    last = next(reversed(slowest.output.lines()), "").strip()
    return f"{slowest.program.name}: starting, {elapsed_s:.0f} s  {last}"
