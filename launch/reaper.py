"""Ends the process groups that a launcher leaves behind, however it died. `kill -9` cannot skip it.

The reaper is a small process in a session of its own. It reads the ids of process groups from a pipe that only the
launcher holds open: "+123" for a group that started, "-123" for one that ended. When the pipe closes, the groups that
are left get SIGTERM and, after a grace period, SIGKILL.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

GRACE_S = 5.0


class Reaper:
    """The launcher's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__))],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        """End this group if the launcher dies."""
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended."""
        self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # someone killed the reaper; the launcher works without it
            self._pipe.write(line.encode())

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group. False if the group has no process. Signal 0 only tests that."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS raises the second for a group of zombies
        return False
    return True


def reap(lines: Iterable[str]) -> None:
    """Read the pipe to its end, then end all groups that are left."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    deadline = time.monotonic() + GRACE_S
    left = {group for group in groups if signal_group(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if signal_group(group, 0)}
    for group in left:
        signal_group(group, signal.SIGKILL)


if __name__ == "__main__":
    # A service manager signals all processes at once. The launcher's groups still need to be ended after that.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    reap(sys.stdin)
