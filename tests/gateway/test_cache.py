"""The pair cache and single flight: the engine is paid once, and nobody gets a score that is not theirs."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from gateway.caches import cache_of
from gateway.caches.memory import MemoryCache
from gateway.domain import ScoringOptions
from gateway.scoring.cache_keys import pair_keys
from gateway.scoring.scorer import CALLS_PER_ENGINE, SLICE_PAIRS
from gateway.settings import SettingsError
from tests.gateway.asking import ASK, DOCUMENTS, QUERY, indices, scores
from tests.gateway.conftest import NO_TLS, Serve
from tests.gateway.redis_server import RedisServer
from tests.gateway.serving import DEADLINE_S, gateway_process, until
from tests.gateway.waiting import in_flight
from tests.stub_engine import POISON, StubEngine

MANY = [f"red car {number}" for number in range(2 * CALLS_PER_ENGINE * SLICE_PAIRS)]

# A busy machine must not make a cache look slow: then it would have no values.
PATIENT = "timeout_s=20"


async def ask(client: httpx.AsyncClient, documents: Sequence[str] = DOCUMENTS, **more: object) -> httpx.Response:
    return await client.post("/v2/rerank", json={"query": QUERY, "documents": list(documents), **more})


def cached(response: httpx.Response) -> int:
    number: int = response.json()["meta"]["cached_pairs"]
    return number


async def kept(client: httpx.AsyncClient, documents: Sequence[str] = DOCUMENTS) -> httpx.Response:
    """Asks until all of it comes from the cache: a score is kept just after it is given."""
    async with asyncio.timeout(DEADLINE_S):
        while cached(answer := await ask(client, documents)) != len(documents):
            pass
    return answer


class TestKeys:
    def test_fields_never_run_into_each_other(self) -> None:
        pairs = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")]
        assert len({pair_keys("model", ScoringOptions(), query, [document])[0] for query, document in pairs}) == 4
        assert pair_keys("a", ScoringOptions(), "bc", ["d"]) != pair_keys("ab", ScoringOptions(), "c", ["d"])

    def test_whatever_changes_the_score_changes_the_key(self) -> None:
        readings = [
            ScoringOptions(),
            ScoringOptions("find it"),
            ScoringOptions(None, 10),
            ScoringOptions(None, 11),
            ScoringOptions(None, None, 2),
        ]
        keys = {pair_keys(model, reading, "q", ["d"])[0] for reading in readings for model in ("one", "other")}
        assert len(keys) == 10

    @pytest.mark.parametrize(
        "change",
        [{"hub": "org/other"}, {"revision": "abc"}, {"dtype": "bfloat16"}],
        ids=["hub", "revision", "dtype"],
    )
    async def test_another_model_of_the_same_name_has_scores_of_its_own(
        self, serve: Serve, engine: StubEngine, tmp_path: Path, change: dict[str, str]
    ) -> None:
        cache = f"sqlite://{tmp_path}/scores.db?{PATIENT}"
        await kept(await serve(cache=cache))
        assert cached(await ask(await serve(cache=cache))) == 3
        assert cached(await ask(await serve(cache=cache, model=change))) == 0


class TestHits:
    async def test_asking_twice_costs_the_engine_once(self, client: httpx.AsyncClient, engine: StubEngine) -> None:
        first, second = await ask(client), await ask(client)
        assert len(engine.prompts) == 3
        assert (cached(first), cached(second)) == (0, 3)
        assert first.json()["results"] == second.json()["results"]
        assert first.json()["usage"] == second.json()["usage"]

    async def test_only_what_is_missing_reaches_the_engine(self, client: httpx.AsyncClient, engine: StubEngine) -> None:
        await ask(client)
        engine.calls.clear()
        answer = await ask(client, [*DOCUMENTS, "red fast", "new", "red fast"])
        assert [document for _, document in engine.prompts] == ["red fast", "new"]
        assert cached(answer) == 3
        assert indices(answer) == [1, 2, 3, 5, 0, 4]

    async def test_the_answer_tells_what_each_stage_took(self, client: httpx.AsyncClient) -> None:
        def stages(response: httpx.Response) -> list[str]:
            return [stage.split(";")[0] for stage in response.headers["server-timing"].split(", ")]

        assert stages(await ask(client)) == ["parse", "cache", "engine", "total", "cached"]
        assert stages(await ask(client)) == ["parse", "cache", "total", "cached"]
        assert 'cached;desc="3 of 4 pairs"' in (await ask(client, [*DOCUMENTS, "new"])).headers["server-timing"]

    async def test_metrics_count_hits_misses_and_bytes(self, client: httpx.AsyncClient) -> None:
        await ask(client)
        await ask(client)
        metrics = (await client.get("/metrics")).text
        assert 'rerank_cache_pairs_total{backend="memory",result="hit"} 3.0' in metrics
        assert 'rerank_cache_pairs_total{backend="memory",result="miss"} 3.0' in metrics
        assert 'rerank_cache_bytes{backend="memory"} ' in metrics
        assert 'rerank_cache_evicted{backend="memory"} 0.0' in metrics

    @pytest.mark.parametrize(
        "how",
        [{"json": {**ASK, "cache": "no-store"}}, {"json": ASK, "headers": {"cache-control": "no-store"}}],
        ids=["field", "header"],
    )
    async def test_no_store_neither_reads_nor_keeps(
        self, client: httpx.AsyncClient, engine: StubEngine, how: dict[str, object]
    ) -> None:
        for asked in (3, 6):
            await client.post("/v2/rerank", **how)  # type: ignore[arg-type]
            assert len(engine.prompts) == asked
        assert cached(await ask(client)) == 0

    async def test_what_came_with_a_warning_is_not_kept(self, client: httpx.AsyncClient, engine: StubEngine) -> None:
        await ask(client, [*DOCUMENTS, POISON])
        again = await ask(client, [*DOCUMENTS, POISON])
        assert cached(again) == 3
        assert "documents[3]" in again.json()["meta"]["warnings"][0]

    async def test_no_cache_at_all(self, serve: Serve, engine: StubEngine) -> None:
        client = await serve(cache="none")
        await ask(client)
        await ask(client)
        assert len(engine.prompts) == 6

    async def test_an_admin_key_empties_it(self, serve: Serve) -> None:
        client = await serve(api_keys=["caller"], admin_keys=["admin"])
        client.headers["authorization"] = "Bearer caller"
        await ask(client)
        assert (await client.delete("/v1/cache")).status_code == 401
        assert (await client.delete("/v1/cache", headers={"authorization": "Bearer admin"})).json() == {"cleared": True}
        assert cached(await ask(client)) == 0

    async def test_without_admin_keys_this_machine_may_empty_it(self, client: httpx.AsyncClient) -> None:
        await ask(client)
        assert (await client.delete("/v1/cache")).status_code == 200
        assert cached(await ask(client)) == 0


class TestSingleFlight:
    async def test_overlapping_requests_score_each_pair_once(
        self, client: httpx.AsyncClient, engine: StubEngine
    ) -> None:
        engine.gate.clear()
        asked = [asyncio.create_task(ask(client, MANY[start : start + 60])) for start in range(50)]
        await engine.asked(1)
        await asyncio.sleep(0)
        engine.gate.set()
        answers = await asyncio.gather(*asked)
        assert sorted(document for _, document in engine.prompts) == sorted(MANY[:109])
        assert all(len(scores(answer)) == 60 for answer in answers)

    async def test_a_leader_who_leaves_does_not_fail_the_others(
        self, client: httpx.AsyncClient, engine: StubEngine
    ) -> None:
        engine.gate.clear()
        leader = asyncio.create_task(ask(client))
        await engine.asked(1)
        follower = asyncio.create_task(ask(client, [*DOCUMENTS, "another"]))
        await engine.asked(2)  # the pair only the follower has; for the others it waits on the leader's call
        leader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leader
        await in_flight(client, 1)  # only now has the gateway noticed
        engine.gate.set()
        assert len(scores(await follower)) == 4
        assert len(engine.prompts) == 4

    async def test_the_last_to_leave_ends_the_work(self, client: httpx.AsyncClient, engine: StubEngine) -> None:
        engine.gate.clear()
        both = [asyncio.create_task(ask(client, MANY)) for _ in range(2)]
        await engine.asked(CALLS_PER_ENGINE)
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        await in_flight(client, 0)
        engine.gate.set()
        assert cached(await ask(client, ["another"])) == 0
        assert [len(call) for call in engine.calls] == [*[SLICE_PAIRS] * CALLS_PER_ENGINE, 1]

    async def test_an_engines_failure_reaches_everybody_who_waits(
        self, client: httpx.AsyncClient, engine: StubEngine
    ) -> None:
        engine.gate.clear()
        both = [asyncio.create_task(ask(client)) for _ in range(2)]
        await engine.asked(1)
        await engine.stop()
        assert [answer.status_code for answer in await asyncio.gather(*both)] == [503, 503]
        engine.gate.set()
        await engine.start()
        assert (await ask(client)).status_code == 200


class TestTurns:
    async def test_a_lower_priority_number_goes_first(self, client: httpx.AsyncClient, engine: StubEngine) -> None:
        engine.gate.clear()
        hold = asyncio.create_task(ask(client, [f"hold {number}" for number in range(4 * SLICE_PAIRS)]))
        await engine.asked(4)
        late = [asyncio.create_task(ask(client, [f"priority {one}"], priority=one)) for one in (9, 5, 0)]
        await in_flight(client, 4)
        engine.gate.set()
        await asyncio.gather(hold, *late)
        assert [call[0][1] for call in engine.calls[4:]] == ["priority 0", "priority 5", "priority 9"]


class TestMemory:
    async def test_it_never_uses_more_than_it_may(self) -> None:
        cache = MemoryCache(max_bytes=100_000)
        for number in range(5_000):
            await cache.set_many({number.to_bytes(16, "big"): b"v" * 14})
            assert (cache.stats().bytes_used or 0) <= 100_000
        assert cache.stats().evicted > 4_000

    async def test_what_is_used_stays(self) -> None:
        cache = MemoryCache(max_bytes=100_000)
        kept = b"k" * 16
        await cache.set_many({kept: b"v" * 14})
        for number in range(5_000):
            await cache.set_many({number.to_bytes(16, "big"): b"w" * 14})
            assert await cache.get_many([kept]) == [b"v" * 14]

    async def test_what_is_too_old_is_forgotten(self) -> None:
        cache = MemoryCache(max_bytes=100_000, ttl_s=0.01)
        await cache.set_many({b"k" * 16: b"v"})
        async with asyncio.timeout(DEADLINE_S):
            while await cache.get_many([b"k" * 16]) != [None]:  # noqa: ASYNC110 -- the cache tells nobody
                await asyncio.sleep(0)  # else the loop never looks at the bound


class TestSqlite:
    async def test_scores_survive_a_restart(self, serve: Serve, engine: StubEngine, tmp_path: Path) -> None:
        await kept(await serve(cache=f"sqlite://{tmp_path}/scores.db?{PATIENT}"))
        assert cached(await ask(await serve(cache=f"sqlite://{tmp_path}/scores.db?{PATIENT}"))) == 3
        assert len(engine.prompts) == 3

    async def test_a_damaged_file_is_set_aside_and_replaced(
        self, serve: Serve, engine: StubEngine, tmp_path: Path
    ) -> None:
        file = tmp_path / "scores.db"
        file.write_bytes(b"this is no database, " * 1000)
        client = await serve(cache=f"sqlite://{file}?{PATIENT}")
        assert len(scores(await ask(client))) == 3
        assert [path for path in await asyncio.to_thread(os.listdir, tmp_path) if ".damaged-" in path]
        await kept(client)

    async def test_a_flipped_bit_is_a_miss_and_not_a_score(
        self, serve: Serve, engine: StubEngine, tmp_path: Path
    ) -> None:
        file = tmp_path / "scores.db"
        client = await serve(cache=f"sqlite://{file}?{PATIENT}")
        right = await kept(client)
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            db.execute("UPDATE scores SET value = x'2a' || substr(value, 2)")
        again = await ask(client)
        assert cached(again) == 0
        assert scores(again) == scores(right)

    async def test_it_never_holds_more_than_it_may(self, tmp_path: Path) -> None:
        cache = cache_of(f"sqlite://{tmp_path}/scores.db?max_bytes=64000&{PATIENT}")
        assert cache is not None
        for number in range(0, 5_000, 100):
            await cache.set_many({one.to_bytes(16, "big"): b"v" for one in range(number, number + 100)})
        assert 0 < (cache.stats().bytes_used or 0) <= 64_000
        assert (await cache.get_many([(4_999).to_bytes(16, "big"), (0).to_bytes(16, "big")])) == [b"v", None]
        await cache.aclose()

    async def test_a_folder_that_cannot_be_written_costs_nothing_but_hits(
        self, serve: Serve, engine: StubEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("not a folder")
        client = await serve(cache=f"sqlite://{tmp_path}/file/scores.db?{PATIENT}")
        assert len(scores(await ask(client))) == 3


class TestRedis:
    async def test_two_gateways_share_their_scores(self, serve: Serve, engine: StubEngine, redis: RedisServer) -> None:
        one, other = await serve(cache=redis.url), await serve(cache=f"{redis.url}?ttl_s=3600")
        await kept(one)
        assert cached(await ask(other)) == 3
        await kept(other, ["kept with an expiry"])
        assert cached(await ask(one, ["kept with an expiry"])) == 1
        assert (await one.delete("/v1/cache")).status_code == 200
        assert cached(await ask(other)) == 0

    async def test_killed_and_back_under_load_fails_no_request(
        self, serve: Serve, engine: StubEngine, redis: RedisServer
    ) -> None:
        client = await serve(cache=redis.url)
        stop = asyncio.Event()
        statuses: list[int] = []

        async def load() -> None:
            while not stop.is_set():
                statuses.append((await ask(client)).status_code)

        running = [asyncio.create_task(load()) for _ in range(4)]
        await until(lambda: len(statuses) > 50)
        await redis.kill()
        seen = len(statuses)
        await until(lambda: len(statuses) > seen + 50)
        await redis.start()
        await kept(client)  # the breaker tries it again, then it fills and hits
        stop.set()
        await asyncio.gather(*running)
        assert set(statuses) == {200}

    async def test_a_server_that_never_answers_costs_a_moment(self, serve: Serve, engine: StubEngine) -> None:
        asked = 0

        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            with contextlib.closing(writer):
                while await reader.read(1000):
                    asked += 1

        async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = await serve(cache=f"redis://127.0.0.1:{port}?timeout_s=0.02")
            for _ in range(10):
                assert len(scores(await ask(client))) == 3
        assert 0 < asked < 10  # after three failures in a row it is left alone

    async def test_two_workers_share_nothing_but_it(
        self, engine: StubEngine, redis: RedisServer, tmp_path: Path
    ) -> None:
        config = tmp_path / "gateway.yaml"
        config.write_text(
            f"port: 0\nworkers: 2\ncache: {redis.url}\n"
            f"models: {{words: {{family: cross-encoder, engine: '{engine.url}'}}}}\n"
        )
        async with gateway_process("--config", config) as gateway, httpx.AsyncClient(verify=NO_TLS) as client:
            url = await gateway.url()
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get(f"{url}/healthz")).status_code == 200:
                            break
            for _ in range(20):  # a new connection each: either worker may take it
                async with httpx.AsyncClient(base_url=url, verify=NO_TLS) as new:
                    assert len(scores(await ask(new))) == 3
        assert len(engine.prompts) == 3


def test_a_wrong_cache_url_is_named_in_one_line() -> None:
    for url in ("memcached://host", "memory://?max_bytes=many", "memory://?ttl_s=-1", "memory://?max=1", "sqlite://"):
        with pytest.raises(SettingsError, match=r"^cache: .+$"):
            cache_of(url)
