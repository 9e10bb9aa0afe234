"""Scores are kept for one engine, and given for no other: not after a restart, not under the same name, not idle."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.caches import cache_of
from gateway.engines import readiness
from gateway.engines.identity import identity_of
from tests.gateway.asking import ASK, DOCUMENTS, scores
from tests.gateway.conftest import Serve
from tests.gateway.redis_server import RedisServer
from tests.gateway.serving import DEADLINE_S
from tests.stub_engine import StubEngine

SCORES = [1.0, pytest.approx(2 / 3), 0.0]
OTHER_SCORES = [pytest.approx(score) for score in (0.8, 0.6, 0.2)]


def of_another_model(given: Sequence[float]) -> Sequence[object]:
    return [0.2 + 0.6 * score for score in given]


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v2/rerank", json=ASK)


def cached(response: httpx.Response) -> int:
    assert response.status_code == 200, response.text
    number: int = response.json()["meta"]["cached_pairs"]
    return number


async def kept(client: httpx.AsyncClient) -> list[float]:
    """The scores, once all of them come from the cache: a score is kept just after it is given."""
    async with asyncio.timeout(DEADLINE_S):
        while cached(answer := await ask(client)) != len(DOCUMENTS):
            pass
    return scores(answer)


async def restart(engine: StubEngine) -> None:
    await engine.stop()
    await engine.start()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's process is looked at for each request, since it restarts at once here."""
    monkeypatch.setattr(readiness, "LEASE_S", -1.0)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer) -> str:
    """The address of a cache of each kind, patient on a busy machine."""
    addresses = {"memory": "memory://", "sqlite": f"sqlite://{tmp_path}/scores.db", "redis": redis.url}
    return addresses[request.param] + ("" if request.param == "memory" else "?timeout_s=20")


async def test_an_exchanged_engine_gives_its_own_scores(serve: Serve, engine: StubEngine, cache: str) -> None:
    engine.bluffs = False
    client = await serve(cache=cache)
    assert await kept(client) == SCORES
    await engine.stop()
    engine.distort = of_another_model
    await engine.start()
    assert await kept(client) == OTHER_SCORES
    await engine.stop()
    engine.distort = list
    await engine.start()
    answer = await ask(client)
    assert (cached(answer), scores(answer)) == (3, SCORES)  # it is the first again


async def test_an_engine_that_restarts_finds_its_scores(serve: Serve, engine: StubEngine, cache: str) -> None:
    client = await serve(cache=cache)
    await kept(client)
    await restart(engine)
    assert cached(await ask(client)) == 3


async def test_an_engine_that_rounds_otherwise_than_before_finds_its_scores(
    serve: Serve, engine: StubEngine, cache: str
) -> None:
    """In half precision the same pair moves a little with the batch, and from start to start."""
    engine.bluffs = False
    shift = 0.004
    engine.distort = lambda given: [0.1 + 0.5 * score + shift * place for place, score in enumerate(given)]
    client = await serve(cache=cache)
    before = await kept(client)
    shift = 0.005
    await restart(engine)
    answer = await ask(client)
    assert (cached(answer), scores(answer)) == (3, before)


async def test_what_another_version_kept_of_an_engine_is_no_hindrance() -> None:
    cache = cache_of("memory://")
    assert cache is not None
    longer = await identity_of("engine", [1.0, 2.0, 3.0], 0.0, cache)
    assert await identity_of("engine", [1.0, 2.0], 0.0, cache) != longer
    assert await identity_of("engine", [1.0, 2.0, 3.0], 0.0, cache) == longer


async def test_two_engines_under_one_name_do_not_share_scores(
    serve: Serve, engine: StubEngine, redis: RedisServer
) -> None:
    engine.bluffs = False
    other = StubEngine()
    other.bluffs, other.distort = False, of_another_model
    await other.start()
    try:
        cache = f"{redis.url}?timeout_s=20"
        one, two = await serve(cache=cache), await serve(cache=cache, model={"engine": other.url})
        for _ in range(2):
            assert await kept(one) == SCORES
            assert await kept(two) == OTHER_SCORES
    finally:
        await other.stop()


@pytest.mark.parametrize(
    "change",
    [{"version": "0.33.0"}, {"names": ["stub", "recipe:cross-encoder:new"]}, {"root": "/models/new"}],
    ids=["version", "names", "root"],
)
async def test_an_engine_that_says_something_else_of_itself_is_another(
    serve: Serve, engine: StubEngine, change: dict[str, Any]
) -> None:
    engine.names = ["stub", "recipe:cross-encoder:old"]
    client = await serve()
    await kept(client)
    await engine.stop()
    for name, value in change.items():
        setattr(engine, name, value)
    await engine.start()
    assert cached(await ask(client)) == 0


async def test_an_engine_exchanged_in_silence_is_found_before_a_cached_score_is_given(
    serve: Serve, engine: StubEngine
) -> None:
    engine.bluffs = False
    client = await serve()
    assert await kept(client) == SCORES
    await engine.stop()
    engine.distort = of_another_model
    await engine.start()
    assert scores(await ask(client)) == OTHER_SCORES


async def test_an_engine_exchanged_behind_a_kept_connection_is_found_too(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.bluffs = False
    assert await kept(client) == SCORES
    engine.distort = of_another_model
    engine.exchange(keeps_connections=True)
    assert scores(await ask(client)) == OTHER_SCORES


async def test_while_an_engine_is_gone_its_scores_are_still_given(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    await kept(client)
    await engine.stop()
    assert cached(await ask(client)) == 3
    assert (await client.post("/v2/rerank", json={**ASK, "query": "new"})).status_code == 503
    assert cached(await ask(client)) == 3


async def test_an_engine_that_is_gone_is_not_looked_for_by_every_caller(
    client: httpx.AsyncClient, engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that swallows connections would hold up each of them for its whole timeout."""
    await kept(client)
    await engine.stop()
    assert cached(await ask(client)) == 3
    monkeypatch.setattr(readiness, "LEASE_S", 1000.0)
    await engine.start()
    questions = engine.questions
    assert cached(await ask(client)) == 3
    assert engine.questions == questions
    monkeypatch.setattr(readiness, "LEASE_S", -1.0)
    assert cached(await ask(client)) == 3
    assert engine.questions > questions


async def test_scores_of_an_engine_that_nobody_has_seen_yet_are_not_given(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    cache = f"sqlite://{tmp_path}/scores.db?timeout_s=20"
    await kept(await serve(cache=cache))
    await engine.stop()
    late = await serve(cache=cache)
    assert (await ask(late)).status_code == 503
    await engine.start()
    assert cached(await ask(late)) == 3


async def test_a_process_is_examined_once_however_many_connections_lead_to_it(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    await ask(client)
    examinations = len(engine.examinations)
    for _ in range(3):
        engine.break_connections()
        assert (await client.post("/v2/rerank", json={**ASK, "cache": "no-store"})).status_code == 200
    assert len(engine.examinations) == examinations > 0


async def test_a_server_that_does_not_tell_its_process_is_examined_for_each_connection(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.tells_start = False
    await ask(client)
    examinations = len(engine.examinations)
    engine.break_connections()
    assert (await client.post("/v2/rerank", json={**ASK, "cache": "no-store"})).status_code == 200
    assert len(engine.examinations) == 2 * examinations


async def test_an_engine_exchanged_while_it_scores_keeps_nothing(serve: Serve, engine: StubEngine) -> None:
    """Its scores would be kept under the name of the engine that was asked."""
    engine.bluffs = False
    client = await serve()
    await client.get("/readyz")
    calls = len(engine.calls)
    engine.gate.clear()
    asking = asyncio.create_task(ask(client))
    await engine.asked(calls + 1)
    engine.distort = of_another_model
    engine.gate.set()
    engine.exchange()  # the call is sent again, to the other
    answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_unavailable")
    assert await kept(client) == OTHER_SCORES
    engine.distort = list
    engine.exchange()
    assert scores(await ask(client)) == SCORES  # nothing of the other's stands under its name


async def test_a_wrong_engine_gives_no_score_though_a_right_one_answered_just_now(
    serve: Serve, engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve()
    await kept(client)
    monkeypatch.setattr(readiness, "LEASE_S", 1000.0)
    await engine.stop()
    engine.bluffs, engine.always_activates = False, True
    await engine.start()
    answer = await client.post("/v2/rerank", json={**ASK, "query": "new"})
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_untrusted")
