"""Ends what the launcher leaves behind when it dies without a chance to: the one thing `kill -9` cannot skip.

A small process in a session of its own. It reads process-group ids from a pipe whose other end only the launcher
holds ("+123" started, "-123" ended). When the pipe closes, however the launcher died, the groups that are left get
SIGTERM and, after a grace, SIGKILL.
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
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed the reaper: work on without it
            self._pipe.write(line.encode())

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin


def signal_group(group: int, number: int) -> bool:
    """Sends a signal to a process group; False when nobody is there. Signal 0 only asks."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the second for a group of zombies
        return False
    return True


def reap(lines: Iterable[str]) -> None:
    """Follows the pipe to its end, then ends every group still known."""
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
    # A service manager signals everybody at once; the launcher's groups still need ending after that.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    reap(sys.stdin)
