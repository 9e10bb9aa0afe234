"""One caller cannot take the engine from the others: slices, turns, a bounded queue, and no work for who has left."""

import asyncio

import httpx
import pytest

from gateway.scoring.scorer import CALLS_PER_ENGINE, SLICE_PAIRS
from tests.gateway.asking import ASK, FRESH, indices, message_of
from tests.gateway.conftest import Serve
from tests.gateway.serving import DEADLINE_S
from tests.gateway.waiting import in_flight, told
from tests.stub_engine import StubEngine

MANY = 10_000
BIG = {"query": "red", "documents": [f"red {n}" for n in range(MANY)]}
SMALL = {"query": "red", "documents": [f"blue {n}" for n in range(10)]}


async def test_ten_thousand_documents_reach_the_engine_in_bounded_slices(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    response = await client.post("/v2/rerank", json=BIG)
    assert indices(response) == list(range(MANY))
    assert len(engine.prompts) == len(set(engine.prompts)) == MANY
    assert max(len(call) for call in engine.calls) <= SLICE_PAIRS
    assert engine.most_at_once <= CALLS_PER_ENGINE


async def test_one_document_more_is_400(client: httpx.AsyncClient, engine: StubEngine) -> None:
    message = message_of(await client.post("/v2/rerank", json={"query": "a", "documents": [""] * (MANY + 1)}), 400)
    assert "10001" in message
    assert not engine.calls


@pytest.mark.parametrize("big_ones", [1, 2])
async def test_a_small_request_passes_the_big_ones(serve: Serve, engine: StubEngine, big_ones: int) -> None:
    client = await serve(limits={"max_pairs_waiting": 3 * MANY})
    engine.gate.clear()
    big = [asyncio.create_task(client.post("/v2/rerank", json={**BIG, "query": f"red {n}"})) for n in range(big_ones)]
    await engine.asked(CALLS_PER_ENGINE)
    small = asyncio.create_task(client.post("/v2/rerank", json=SMALL))
    await in_flight(client, big_ones + 1)
    engine.gate.set()
    assert len(indices(await small)) == 10
    # Of the 79 calls that a big one takes, few came before the small one's, and few until its answer.
    assert [len(call) for call in engine.calls[: 4 * CALLS_PER_ENGINE]].count(10) == 1
    assert len(engine.calls) < 40
    assert not any(task.done() for task in big)
    for task in big:
        assert len(indices(await task)) == MANY


async def test_many_callers_share_a_bounded_number_of_calls(client: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.gate.clear()
    asked = [
        asyncio.create_task(client.post("/v2/rerank", json=FRESH | {"query": f"fast red car {n}"})) for n in range(20)
    ]
    await engine.asked(CALLS_PER_ENGINE)
    engine.gate.set()
    for response in await asyncio.gather(*asked):
        assert indices(response) == [1, 2, 0]
    assert engine.most_at_once == CALLS_PER_ENGINE


async def test_a_document_given_twice_costs_the_engine_once(client: httpx.AsyncClient, engine: StubEngine) -> None:
    ask = {"query": "red", "documents": ["red", "blue", "red", "blue", "red"]}
    assert indices(await client.post("/v2/rerank", json=ask)) == [0, 2, 4, 1, 3]
    assert sorted(engine.prompts) == [("red", "blue"), ("red", "red")]


async def test_too_many_pairs_waiting_is_429_until_there_is_room_again(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"max_pairs_waiting": 10})
    engine.gate.clear()
    first = asyncio.create_task(client.post("/v2/rerank", json=SMALL))
    await engine.asked()
    refused = await client.post("/v2/rerank", json=ASK)
    assert "10 pairs are waiting" in message_of(refused, 429)
    assert int(refused.headers["retry-after"]) >= 1
    engine.gate.set()
    assert len(indices(await first)) == 10
    assert len(indices(await client.post("/v2/rerank", json=SMALL))) == 10


async def test_who_is_turned_away_is_told_when_the_engine_will_be_free_by_its_measured_rate(
    serve: Serve, engine: StubEngine
) -> None:
    client = await serve(limits={"max_pairs_waiting": 301})
    waiting = {"query": "red", "documents": [f"blue {n}" for n in range(301)], "cache": "no-store"}

    async def told_to_wait() -> int:
        calls = len(engine.calls)
        engine.gate.clear()
        held = asyncio.create_task(client.post("/v2/rerank", json=waiting))
        await engine.asked(calls + 1)
        refused = await client.post("/v2/rerank", json=ASK)
        assert refused.status_code == 429
        engine.gate.set()
        await held
        return int(refused.headers["retry-after"])

    assert await told_to_wait() == 4  # 100 pairs a second, until something was measured
    for _ in range(5):
        await client.post("/v2/rerank", json=waiting)
    assert await told_to_wait() < 4


async def test_nobody_is_told_to_wait_longer_than_a_minute(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"max_pairs_waiting": MANY})
    engine.gate.clear()
    big = asyncio.create_task(client.post("/v2/rerank", json=BIG))
    await engine.asked(CALLS_PER_ENGINE)
    refused = await client.post("/v2/rerank", json=ASK)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    big.cancel()


async def test_room_comes_back_after_failures_too(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"max_pairs_waiting": 10})
    await engine.stop()
    assert (await client.post("/v2/rerank", json=SMALL)).status_code == 503
    await engine.start()
    assert len(indices(await client.post("/v2/rerank", json=SMALL))) == 10


async def test_who_leaves_stops_costing_the_engine(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"max_pairs_waiting": MANY})
    engine.gate.clear()
    big = asyncio.create_task(client.post("/v2/rerank", json=BIG))
    await engine.asked(CALLS_PER_ENGINE)
    big.cancel()

    async def answered_when_there_is_room() -> httpx.Response:
        async with asyncio.timeout(DEADLINE_S):
            while (response := await client.post("/v2/rerank", json=SMALL)).status_code == 429:
                pass
            return response

    small = asyncio.create_task(answered_when_there_is_room())
    await engine.asked(CALLS_PER_ENGINE + 1)
    engine.gate.set()
    assert len(indices(await small)) == 10
    assert [len(call) for call in engine.calls] == [SLICE_PAIRS] * CALLS_PER_ENGINE + [10]


async def test_who_leaves_while_the_engine_hangs_frees_the_way(serve: Serve, engine: StubEngine) -> None:
    client = await serve()
    engine.gate.clear()
    gone = [
        asyncio.create_task(client.post("/v2/rerank", json={**ASK, "query": f"{n}"})) for n in range(CALLS_PER_ENGINE)
    ]
    await engine.asked(CALLS_PER_ENGINE)
    for task in gone:
        task.cancel()
    # Every place is taken; that the next call reaches the hanging engine shows that one was given back.
    asked = asyncio.create_task(client.post("/v2/rerank", json=SMALL))
    await engine.asked(CALLS_PER_ENGINE + 1)
    engine.gate.set()
    assert len(indices(await asked)) == 10


@pytest.mark.parametrize("count", [SLICE_PAIRS - 1, SLICE_PAIRS, SLICE_PAIRS + 1, 3 * SLICE_PAIRS])
async def test_slices_come_back_in_the_callers_order(client: httpx.AsyncClient, count: int) -> None:
    documents = [("red " if n % 7 else "fast red ") + str(n) for n in range(count)]
    response = await client.post("/v2/rerank", json={"query": "fast red", "documents": documents})
    assert indices(response) == sorted(range(count), key=lambda n: bool(n % 7))


async def test_requests_under_way_are_counted(client: httpx.AsyncClient, engine: StubEngine) -> None:
    await client.post("/v2/rerank", json=ASK)
    await client.post("/v1/rerank", json={**ASK, "documents": []})
    engine.gate.clear()
    asked = asyncio.create_task(client.post("/v2/rerank", json=FRESH))
    await engine.asked(2)
    lines = (await client.get("/metrics")).text.splitlines()
    assert 'rerank_requests_total{dialect="cohere-v2",status="200"} 1.0' in lines
    assert 'rerank_requests_total{dialect="cohere-v1",status="400"} 1.0' in lines
    assert "rerank_requests_in_flight 1.0" in lines
    assert 'rerank_pairs_total{model="words"} 3.0' in lines
    asked.cancel()
    await told(client, 'rerank_requests_total{dialect="cohere-v2",status="499"} 1.0')
    assert "rerank_requests_in_flight 0.0" in (await client.get("/metrics")).text
