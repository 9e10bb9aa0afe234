"""Places at an engine: none is lost or made up, whoever leaves at whatever moment, and rounds go on."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.scoring.fair_queue import FairQueue
from tests.gateway.serving import DEADLINE_S


async def turns(times: int = 5) -> None:
    """Lets every task go as far as it can."""
    for _ in range(times):
        await asyncio.sleep(0)


async def free(queue: FairQueue) -> int:
    """Counts the free places by taking all of them."""
    taken = 0
    while True:
        task = asyncio.create_task(queue.acquire(9, 0))
        await turns()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            break
        taken += 1
    for _ in range(taken):
        queue.release()
    return taken


async def served(queue: FairQueue, waiters: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The order in which waiters of these priorities and rounds are served by a queue whose only place is taken."""
    order: list[tuple[int, int]] = []

    async def wait(priority: int, round_: int) -> None:
        await queue.acquire(priority, round_)
        order.append((priority, round_))

    tasks = [asyncio.create_task(wait(*waiter)) for waiter in waiters]
    await turns()
    assert not order
    for _ in waiters:
        queue.release()
        await turns()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks)
    return order


@pytest.mark.parametrize("places", [1, 2, 4])
async def test_there_are_as_many_places_as_said(places: int) -> None:
    assert await free(FairQueue(places)) == places


async def test_the_lower_priority_number_goes_first_then_the_lower_round_then_who_came_first() -> None:
    queue = FairQueue(1)
    await queue.acquire(0, 0)
    assert await served(queue, [(1, 0), (0, 2), (0, 1), (1, 0), (0, 1)]) == [(0, 1), (0, 1), (0, 2), (1, 0), (1, 0)]


async def test_a_place_given_to_one_who_leaves_at_that_moment_goes_to_the_next() -> None:
    queue = FairQueue(1)
    await queue.acquire(0, 0)
    leaving, staying = (asyncio.create_task(queue.acquire(0, 0)) for _ in range(2))
    await turns()
    queue.release()  # the place is the first one's
    leaving.cancel()  # before it could run
    async with asyncio.timeout(DEADLINE_S):
        await staying
        assert isinstance((await asyncio.gather(leaving, return_exceptions=True))[0], asyncio.CancelledError)
    queue.release()
    assert await free(queue) == 1


async def test_one_who_leaves_while_waiting_takes_no_place_and_gives_none() -> None:
    queue = FairQueue(1)
    await queue.acquire(0, 0)
    leaving, staying = (asyncio.create_task(queue.acquire(0, 0)) for _ in range(2))
    await turns()
    leaving.cancel()
    assert isinstance((await asyncio.gather(leaving, return_exceptions=True))[0], asyncio.CancelledError)
    assert not staying.done()
    queue.release()
    async with asyncio.timeout(DEADLINE_S):
        await staying
    queue.release()
    assert await free(queue) == 1


async def test_the_round_is_that_of_the_latest_served_and_never_goes_back() -> None:
    queue = FairQueue(2)
    assert queue.round == 0
    await queue.acquire(0, 3)
    assert queue.round == 3
    await queue.acquire(0, 1)
    assert queue.round == 3
    waiting = [asyncio.create_task(queue.acquire(0, round_)) for round_ in (7, 5)]
    await turns()
    assert queue.round == 3  # nobody more was served
    queue.release()
    await turns()
    assert queue.round == 5
    queue.release()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*waiting)
    assert queue.round == 7


async def test_a_newcomer_with_the_round_now_served_passes_the_later_slices_of_others() -> None:
    queue = FairQueue(1)
    await queue.acquire(0, queue.round)
    order: list[str] = []

    async def wait(name: str, round_: int) -> None:
        await queue.acquire(0, round_)
        order.append(name)

    tasks = [asyncio.create_task(wait(f"big {slice_}", slice_)) for slice_ in range(1, 6)]
    await turns()
    for _ in range(2):
        queue.release()
        await turns()
    tasks.append(asyncio.create_task(wait("new", queue.round)))
    await turns()
    for _ in range(4):
        queue.release()
        await turns()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks)
    assert order == ["big 1", "big 2", "new", "big 3", "big 4", "big 5"]
