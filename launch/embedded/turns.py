"""Runs single-threaded work on all cores. Requests take turns every few items, so that a long one blocks nobody."""

import asyncio
import math
import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")


class Turns:
    """`cores` threads, and the order in which requests use them.

    per_turn: items per turn of a core, about 10 ms of work: long enough to hide the cost of switching threads, short
    enough to be fair.
    """

    def __init__(self, cores: int, per_turn: int) -> None:
        self._cores, self._per_turn = cores, per_turn
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="encode")
        self._free = asyncio.Semaphore(cores)

    async def run(self, work: Callable[[Item], Result], items: Iterable[Item]) -> dict[Item, Result]:
        """The results by item. An item that occurs twice is worked on once.

        A request has at most `cores` slices waiting, and the semaphore is first come, first served. So requests take
        turns slice by slice: a request of 10,000 texts delays one of 10 texts by some hundredths of a second.
        """
        distinct = list(dict.fromkeys(items))
        slices = iter([distinct[start : start + self._per_turn] for start in range(0, len(distinct), self._per_turn)])
        results: dict[Item, Result] = {}

        async def work_on_slices() -> None:
            for some in slices:
                async with self._free:
                    run = asyncio.get_running_loop().run_in_executor(self._threads, _worked, work, some)
                    results.update(zip(some, await run, strict=True))

        async with asyncio.TaskGroup() as group:
            for _ in range(self._cores):
                group.create_task(work_on_slices())
        return results


def _worked(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [work(item) for item in items]


def usable_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Number of cores this process may use, by its affinity and, in a container, its cgroup's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no quota
        return allowed
