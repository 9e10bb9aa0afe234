"""`python -m gateway` as an operator runs it: says where it listens, or in one line why not; ends without harm."""

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.gateway.asking import ASK, indices, message_of
from tests.gateway.serving import DEADLINE_S, gateway_process, until
from tests.stub_engine import StubEngine


def config(tmp_path: Path, engine: StubEngine, **settings: Any) -> Path:
    file = tmp_path / "gateway.yaml"
    models = {"words": {"family": "cross-encoder", "engine": engine.url}}
    file.write_text(yaml.safe_dump({"port": 0, "models": models, **settings}))
    return file


async def test_it_prints_its_url_and_serves(tmp_path: Path, engine: StubEngine) -> None:
    async with gateway_process("--config", config(tmp_path, engine)) as gateway:
        url = await gateway.url()
        async with httpx.AsyncClient(base_url=url) as client:
            assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]
            assert (await client.get("/readyz")).json()["ready"]
    assert len(gateway.said) == 1
    assert "no api_keys" in gateway.said[0]


async def test_settings_can_come_from_the_environment_alone(tmp_path: Path, engine: StubEngine) -> None:
    models = f"{{words: {{family: cross-encoder, engine: '{engine.url}'}}}}"
    environ = {"RERANK_MODELS": models, "RERANK_PORT": "0", "RERANK_API_KEYS": "secret-1"}
    async with gateway_process(environ=environ) as gateway, httpx.AsyncClient(base_url=await gateway.url()) as client:
        message_of(await client.post("/v2/rerank", json=ASK), 401)
        headers = {"authorization": "Bearer secret-1"}
        assert indices(await client.post("/v2/rerank", json=ASK, headers=headers)) == [1, 2, 0]


async def test_two_workers_answer_and_any_of_them_reports_the_sum(tmp_path: Path, engine: StubEngine) -> None:
    environ = {"TMPDIR": str(tmp_path)}
    async with gateway_process("--config", config(tmp_path, engine, workers=2), environ=environ) as gateway:
        url = await gateway.url()

        async def asked() -> None:
            async with httpx.AsyncClient(base_url=url) as client:  # a connection of its own: to either worker
                assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]

        total = 0
        async with asyncio.timeout(DEADLINE_S):
            while len(files_of_counts(tmp_path)) < 2:
                await asyncio.gather(*(asked() for _ in range(20)))
                total += 20
        for _ in range(5):
            async with httpx.AsyncClient(base_url=url) as client:
                lines = (await client.get("/metrics")).text.splitlines()
                assert f'rerank_requests_total{{dialect="cohere-v2",status="200"}} {total}.0' in lines
    assert not files_of_counts(tmp_path)


async def test_a_port_that_is_taken_is_one_line_and_a_failure(tmp_path: Path, engine: StubEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with gateway_process("--config", config(tmp_path, engine, port=port)) as gateway:
            assert await gateway.ended() != 0
    (line,) = gateway.said
    assert f"127.0.0.1:{port}" in line


async def test_a_file_that_is_not_there_is_one_line_and_a_failure(tmp_path: Path) -> None:
    async with gateway_process("--config", tmp_path / "nothing.yaml") as gateway:
        assert await gateway.ended() != 0
    (line,) = gateway.said
    assert "nothing.yaml" in line


async def test_a_wrong_setting_is_one_line_and_a_failure(tmp_path: Path, engine: StubEngine) -> None:
    for workers in (1, 2):
        async with gateway_process("--config", config(tmp_path, engine, workers=workers, prot=1)) as gateway:
            assert await gateway.ended() != 0
        (line,) = gateway.said
        assert "prot" in line


async def test_without_keys_it_listens_on_loopback_only_and_says_so(tmp_path: Path, engine: StubEngine) -> None:
    async with gateway_process("--config", config(tmp_path, engine, host="0.0.0.0")) as gateway:  # noqa: S104
        assert "not listening on 0.0.0.0" in await gateway.line_with("api_keys")
        assert re.search(r"http://127\.0\.0\.1:\d+ ", await gateway.line_with("http://"))


async def test_without_keys_a_container_is_as_open_as_the_address_it_is_published_on(
    tmp_path: Path, engine: StubEngine
) -> None:
    for published_on, listens_on in (("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")):  # noqa: S104
        file = config(tmp_path, engine, host="0.0.0.0", published_on=published_on)  # noqa: S104
        async with gateway_process("--config", file) as gateway:
            assert f"http://{listens_on}:" in await gateway.url()


async def test_with_keys_it_listens_where_it_is_told(tmp_path: Path, engine: StubEngine) -> None:
    file = config(tmp_path, engine, host="0.0.0.0", api_keys=["k"])  # noqa: S104 - with a key, and for a moment
    async with gateway_process("--config", file) as gateway:
        assert "http://0.0.0.0:" in await gateway.url()


async def test_a_request_under_way_is_answered_before_it_ends(tmp_path: Path, engine: StubEngine) -> None:
    async with gateway_process("--config", config(tmp_path, engine)) as gateway:
        url = await gateway.url()
        port = int(url.rpartition(":")[2])
        engine.gate.clear()
        async with httpx.AsyncClient(base_url=url) as client:
            under_way = asyncio.create_task(client.post("/v2/rerank", json=ASK))
            await engine.asked()
            gateway.process.terminate()
            await until(lambda: refuses(port))
            engine.gate.set()
            assert indices(await under_way) == [1, 2, 0]
        await gateway.ended()
    assert len(gateway.said) == 1  # its URL: ending is nothing to complain about


async def test_what_it_writes_about_a_lost_engine_holds_no_address_and_no_text(
    tmp_path: Path, engine: StubEngine
) -> None:
    file = config(tmp_path, engine)
    async with gateway_process("--config", file) as gateway, httpx.AsyncClient(base_url=await gateway.url()) as client:
        await engine.stop()
        assert (await client.post("/v2/rerank", json=ASK)).status_code == 503
    (line,) = gateway.said[1:]
    assert line.rstrip().endswith("WARNING engine of words does not answer")


def files_of_counts(folder: Path) -> list[Path]:
    """One for each worker that has answered."""
    return list(folder.glob("rerank-metrics-*/counter_*.db"))


def refuses(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0
