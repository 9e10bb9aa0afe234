"""A pytest session in a forked child: third-party libraries are loaded already, the code under test is not.

Importing pytest and the libraries takes two seconds, running the test that kills a mutant a tenth of one. So the parent
loads the libraries once, and each child only the modules of its own copy of the tree, one of which may be mutated.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

# A child that a mutant makes eat memory fails instead of taking the machine with it.
MAX_MEMORY_BYTES = 12 << 30
# A mutant that loops for ever ends even where the parent that should end it is gone.
MAX_CPU_S = 900
FIXTURE = "fixture "
QUIET = ["-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0"]


@dataclass(slots=True)
class Child:
    """A running child. `current` is the test it is at, since `since_s`."""

    pid: int
    pipe: int
    current: str = ""
    since_s: float = field(default_factory=time.monotonic)
    unread: bytes = b""

    def read(self) -> bool:
        """Takes what the child has told since the last call. False at the end, when it tells nothing more."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self.unread = (self.unread + data).split(b"\n")
        if lines:
            self.current, self.since_s = lines[-1].decode(), time.monotonic()
        return bool(data)

    def wait(self) -> int:
        """The exit status. Whatever processes the tests had started end with the child."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return self._end()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._end()

    def _end(self) -> int:
        # The group goes before the child is reaped: until then no other process can have its number.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def fork(tree: Path, run: Callable[[Callable[[str], None]], int]) -> Child:
    """Runs `run` in a child whose working directory and first import path is `tree`. It gets a way to tell its test."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    status = 70  # EX_SOFTWARE
    try:
        os.close(reader)
        # A group, no session: Linux gives each session an equal share, and endless mutants would starve their parent.
        os.setpgid(0, 0)
        os.nice(5)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
        _enter(tree)
        status = run(lambda test: _tell(writer, test))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _tell(pipe: int, test: str) -> None:
    os.write(pipe, test.encode() + b"\n")


def _enter(tree: Path) -> None:
    """Nothing of another tree is importable, and what the tests print goes to the tree's `output`."""
    os.chdir(tree)
    sys.path[:] = [
        str(tree),
        *(path for path in sys.path if "site-packages" in path or path.startswith(sys.base_prefix)),
    ]
    importlib.invalidate_caches()
    os.environ["PYTHONPATH"] = str(tree)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    output = os.open(tree / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def warm(modules: Sequence[str], folder: Path) -> None:
    """Loads pytest's plug-ins and these modules, by way of a session without tests, as a child would find them."""
    folder.mkdir(exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    class Importer:
        def pytest_collection(self) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name in modules:
                    with contextlib.suppress(Exception):
                        importlib.import_module(name)

    with (
        Path(os.devnull).open("w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        pytest.main([*QUIET, "--rootdir", str(folder), "-c", str(folder / "pytest.ini"), str(folder)], [Importer()])
    gc.collect()
    gc.freeze()


class _Chosen:
    """Runs the chosen tests only, in their order."""

    def __init__(self, tests: Sequence[str], tell: Callable[[str], None]) -> None:
        self._order = {test: place for place, test in enumerate(tests)}
        self._tell = tell

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell(nodeid)


def run_tests(tests: Sequence[str], temporary: Path, tell: Callable[[str], None]) -> int:
    """pytest's exit status after these tests, by their ids, in this order, up to the first that fails."""
    sys.dont_write_bytecode = True
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    return int(pytest.main([*QUIET, f"--basetemp={temporary}", *files], [_Chosen(tests, tell)]))


class _Recorder:
    """Tells coverage which test is running, and keeps how long each took and what was loaded."""

    def __init__(self, measured: coverage.Coverage, tell: Callable[[str], None]) -> None:
        self._measured = measured
        self._tell = tell
        self._current = ""
        self.durations: dict[str, float] = {}
        self.users: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for name in getattr(item, "fixturenames", ()):
                self.users.setdefault(FIXTURE + name, []).append(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._current = item.nodeid
        self._tell(item.nodeid)
        self._measured.switch_context(item.nodeid)
        started_s = time.perf_counter()
        try:
            return (yield)
        finally:
            self.durations[item.nodeid] = time.perf_counter() - started_s
            self._measured.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        """A fixture that is made once runs for each test that asks for it."""
        if fixturedef.scope == "function":
            return (yield)
        self._measured.switch_context(FIXTURE + fixturedef.argname)
        try:
            return (yield)
        finally:
            self._measured.switch_context(self._current)


def record(
    paths: Sequence[str], ignored: Sequence[str], sources: Sequence[str], folder: Path, tell: Callable[[str], None]
) -> int:
    """Runs all tests under `paths` once, measured; leaves `lines` (coverage's data) and `tests.json` in the folder."""
    measured = coverage.Coverage(data_file=str(folder / "lines"), include=list(sources), config_file=False)
    recorder = _Recorder(measured, tell)
    with measured.collect():
        arguments = [*(f"--ignore={path}" for path in ignored), f"--basetemp={folder / 'temporary'}", *paths]
        status = int(pytest.main([*QUIET, *arguments], [recorder]))
    measured.save()
    found = {"durations": recorder.durations, "users": recorder.users, "modules": _libraries()}
    (folder / "tests.json").write_text(json.dumps(found))
    return status


def _libraries() -> list[str]:
    """The modules that were loaded from installed packages."""
    loaded: Mapping[str, Any] = dict(sys.modules)
    return sorted(
        name
        for name, module in loaded.items()
        if "site-packages" in (getattr(module, "__file__", None) or "") and not name.startswith(("coverage", "__"))
    )
