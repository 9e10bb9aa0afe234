"""Runs a supervised command in a private folder, until a signal asks it to stop."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from launch.signals import stop_on_signals


def run_in_workspace(work: Callable[[Path, asyncio.Event], Awaitable[int]]) -> int:
    """Run `work` with a folder for its files and an event that asks it to stop; returns its exit status.

    The folder holds logs and the gateway's configuration. It is kept if the status is not 0.
    """
    folder = Path(tempfile.mkdtemp(prefix="rerank-"))
    status = 0
    try:
        status = asyncio.run(_until_stopped(work, folder))
    finally:
        if status == 0:
            shutil.rmtree(folder, ignore_errors=True)
    return status


async def _until_stopped(work: Callable[[Path, asyncio.Event], Awaitable[int]], folder: Path) -> int:
    with stop_on_signals() as stop:
        return await work(folder, stop)
