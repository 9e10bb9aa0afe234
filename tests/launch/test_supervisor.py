"""Supervision of real processes. None of them survives the launcher, however it ends."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from launch.address import free_port
from launch.console import Console
from launch.lifecycle import Policy
from launch.program import Attempt, EngineRole, Program
from launch.supervisor import supervise
from tests.launch.processes_alive import alive, pids_in, wait_for

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Launched:
    process: subprocess.Popen[str]
    output: Path
    pids: Path

    def said(self) -> str:
        return self.output.read_text()

    def living(self) -> list[int]:
        return [pid for pid in pids_in(self.pids) if alive(pid)]

    def wait_ready(self) -> None:
        wait_for(lambda: "all ready" in self.said(), f"readiness; it said {self.said()!r}")


Launch = Callable[..., Launched]


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launch]:
    """Starts a launcher over a responder with the given flags, one string per attempt."""
    pids = tmp_path / "pids"
    pids.mkdir()
    output = tmp_path / "output"
    started: list[subprocess.Popen[str]] = []

    def launch(*attempts: str) -> Launched:
        flags = [f"--pids {pids} {attempt}" for attempt in attempts]
        command = [sys.executable, "-m", "tests.launch.launcher", str(tmp_path / "log"), str(free_port()), *flags]
        with output.open("w") as file:
            process = subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return Launched(process, output, pids)

    yield launch
    for process in started:
        process.kill()
        process.wait()
    for pid in pids_in(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_survives_the_launcher(launched: Launch, number: signal.Signals) -> None:
    running = launched("--with-child")
    running.wait_ready()
    assert len(running.living()) == 2
    running.process.send_signal(number)
    wait_for(lambda: not running.living(), f"the end of {running.living()}")
    assert running.process.wait(10) == (-number if number is signal.SIGKILL else 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_deaf_to_sigterm_is_killed(launched: Launch, number: signal.Signals) -> None:
    running = launched("--ignore-sigterm --with-child")
    running.wait_ready()
    running.process.send_signal(number)
    wait_for(lambda: not running.living(), f"the end of {running.living()}")


def test_a_killed_engine_is_started_again_after_the_rest_of_its_group_has_ended(launched: Launch) -> None:
    running = launched("--with-child")
    running.wait_ready()
    first = set(running.living())
    os.kill(min(first), signal.SIGKILL)
    wait_for(lambda: set(running.living()) - first, "a new engine")
    wait_for(lambda: running.said().count("ready after") == 2, "readiness again")
    assert not first & set(running.living())
    assert "engine: ended with signal 9: starting it again in 0.1 s" in running.said()


def test_an_engine_that_dies_before_it_was_ready_is_given_up_with_its_last_lines(launched: Launch) -> None:
    running = launched("--never-ready --die-after 0.2 --with-child")
    assert running.process.wait(20) == 1
    assert "engine: ended with status 3 before it was ready" in running.said()
    assert "| loading weights\n  | segfault, sort of" in running.said()
    assert running.said().count("loading weights") == 1
    assert not running.living()


def test_an_engine_that_never_gets_ready_is_given_up_in_time(launched: Launch) -> None:
    running = launched("--never-ready")
    assert running.process.wait(20) == 1
    assert "engine: not ready after 3 s" in running.said()
    assert not running.living()


def test_an_engine_out_of_memory_is_tried_smaller_and_then_runs(launched: Launch) -> None:
    running = launched("--die-of-memory", "--die-of-memory", "--die-of-memory --small")
    running.wait_ready()
    assert "out of memory; now attempt 1" in running.said()
    assert "out of memory; now attempt 2" in running.said()


def test_an_engine_out_of_memory_at_its_smallest_is_given_up(launched: Launch) -> None:
    running = launched("--die-of-memory", "--die-of-memory")
    assert running.process.wait(20) == 1
    assert "engine: ran out of memory before it was ready" in running.said()
    assert "| torch.OutOfMemoryError: CUDA out of memory" in running.said()


async def test_a_program_that_does_not_exist_is_given_up(tmp_path: Path) -> None:
    said = StringIO()
    program = Program("engine", [Attempt(["/no/such/vllm"])], "http://127.0.0.1:9/", tmp_path / "log", {})
    assert await supervise([program], Console(said), asyncio.Event()) == 1
    assert "/no/such/vllm: No such file or directory" in said.getvalue()


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A folder where responders name their processes. None of them may be left at the end."""
    folder = tmp_path / "pids"
    folder.mkdir()
    yield folder
    left = [pid for pid in pids_in(folder) if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def responding(name: str, pids: Path, *flags: str) -> Program:
    """A responder that loads onto the device all of these share."""
    port = free_port()
    responder = str(Path(__file__).parent / "responder.py")
    return Program(
        name=name,
        attempts=[Attempt([sys.executable, responder, "--port", str(port), "--pids", str(pids), *flags])],
        health_url=f"http://127.0.0.1:{port}/",
        log=pids.parent / f"{name}.log",
        environment=os.environ,
        policy=Policy(stop_grace_s=60),
        engine=EngineRole(name, device="gpu"),
    )


async def test_what_loads_onto_one_device_is_started_one_after_the_other(pids: Path) -> None:
    stop, said = asyncio.Event(), StringIO()

    async def stop_now() -> None:
        stop.set()

    programs = [responding("slow", pids, "--ready-after", "1"), responding("fast", pids)]
    async with asyncio.timeout(30):
        assert await supervise(programs, Console(said), stop, once_ready=stop_now) == 0
    ready = [line.split(":")[0] for line in said.getvalue().splitlines() if "ready after" in line]
    assert ready == ["slow", "fast"]


def test_a_thread_that_is_not_the_main_one_can_supervise_and_be_stopped(pids: Path) -> None:
    began: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> int:
        stop = asyncio.Event()

        async def announce() -> None:
            began.set_result((asyncio.get_running_loop(), stop))

        return await supervise([responding("engine", pids)], Console(StringIO()), stop, once_ready=announce)

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(lambda: asyncio.run(serve()))
        loop, stop = began.result(20)
        assert len(pids_in(pids)) == 1
        loop.call_soon_threadsafe(stop.set)
        assert ended.result(20) == 0


class Request(asyncio.Event):
    """A request to stop that tells when the supervisor has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = asyncio.Event()

    def clear(self) -> None:
        super().clear()
        self.seen.set()


async def test_a_second_request_to_stop_kills_at_once(pids: Path) -> None:
    stop = Request()

    async def stop_twice() -> None:
        stop.set()
        await stop.seen.wait()
        stop.set()

    deaf = responding("deaf", pids, "--ignore-sigterm")  # its grace is a minute
    async with asyncio.timeout(30):
        assert await supervise([deaf], Console(StringIO()), stop, once_ready=stop_twice) == 0
