"""Living processes, and waiting for a condition with a bound."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """True if the process runs. A zombie, which its new parent has not reaped yet, does not run."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(status.stdout) and not status.stdout.startswith("Z")


def children(parent: int) -> list[tuple[int, list[str]]]:
    """The living children of a process, each with its command line."""
    if not Path("/proc").exists():
        table = subprocess.run(["ps", "-A", "-o", "ppid=,pid=,command="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return [(int(pid), command) for ppid, pid, *command in rows if int(ppid) == parent]
    pids = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return [(pid, Path(f"/proc/{pid}/cmdline").read_text().split("\0")) for pid in pids if alive(pid)]


def pids_in(folder: Path) -> list[int]:
    """The ids of all processes that responders have named in the folder, dead or alive."""
    return [int(file.name) for file in folder.iterdir()]


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return when the condition holds. Fails the test if it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(0.02)
