"""Broken and hostile files do no harm: each is an error that names the file and says what is wrong with it."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.gateway.asking import indices, message_of
from tests.gateway.broken import Broken, files
from tests.gateway.made import png
from tests.gateway.serving import GatewayProcess, gateway_process
from tests.gateway.test_mixed import RED, TOKENIZER, vl
from tests.stub_engine import StubEngine

FILES = files()
# A process without any picture has 100 MB, and the largest picture that is read takes 256 before it breaks.
BOUND_MB = 450
# A picture that does not break takes more, since it is laid on white.
LARGEST_MB = 750
# The code of an error by its message; all others are `media_unreadable`.
CODES = {
    "lasts": "video_too_long",
    "at most 64 megapixels|too many scans|too large|claims to have": "media_too_large",
}
GOOD = {"query": "red", "documents": [{"image": RED}, "blue"], "cache": "no-store"}


@pytest.fixture
async def gateway(tmp_path: Path, engine: StubEngine) -> AsyncIterator[GatewayProcess]:
    engine.tokenizer = TOKENIZER
    config = tmp_path / "gateway.yaml"
    config.write_text(yaml.safe_dump({"port": 0, "models": {"eyes": {**vl(tmp_path), "engine": engine.url}}}))
    async with gateway_process("--config", config) as process:
        yield process
    assert len(process.said) == 1  # its URL: the operator can do nothing about a caller's files


def sent(file: Broken) -> dict[str, str]:
    return {file.kind: base64.b64encode(file.data).decode()}


def code_for(message: str) -> str:
    return next((code for words, code in CODES.items() if re.search(words, message)), "media_unreadable")


def peak_mb(gateway: GatewayProcess) -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def test_every_broken_file_is_a_clear_error_and_harms_nobody(gateway: GatewayProcess) -> None:
    assert len(FILES) >= 100
    async with httpx.AsyncClient(base_url=await gateway.url(), timeout=60) as client:
        for file in FILES:
            answer = await client.post("/v2/rerank", json={"query": "red", "documents": [sent(file)]})
            message = message_of(answer, 400)
            wanted = rf"documents\[0\]\.{file.kind}: .*({file.reason})"
            assert re.match(wanted, message), f"{file.name} ({len(file.data)} bytes): {message}"
            assert answer.json()["code"] == code_for(message), f"{file.name}: {message}"
        assert indices(await client.post("/v2/rerank", json=GOOD)) == [0, 1]
    assert gateway.process.returncode is None
    assert peak_mb(gateway) <= BOUND_MB


async def test_all_of_them_at_once_leave_the_good_ones_ranked(gateway: GatewayProcess) -> None:
    documents = [*map(sent, FILES), {"image": RED}, "red"]
    async with httpx.AsyncClient(base_url=await gateway.url(), timeout=60) as client:
        answer = await client.post("/v2/rerank", json={"query": "red", "documents": documents})
        assert indices(answer)[:2] == [len(FILES), len(FILES) + 1]
        assert answer.json()["meta"]["warnings"][-1] == f"documents: {len(FILES) - 10} more were not scored"
        assert indices(await client.post("/v2/rerank", json=GOOD)) == [0, 1]
    assert peak_mb(gateway) <= BOUND_MB


async def test_the_largest_pictures_come_one_after_the_other(gateway: GatewayProcess) -> None:
    rows = bytes(8000 * (8000 * 4 + 1))
    pictures = [png(8000, 8000, depth=8, color_type=6, rows=rows, chunks=[(b"tEXt", b"a\0%d" % n)]) for n in range(3)]
    documents = [{"image": base64.b64encode(data).decode()} for data in pictures]
    async with httpx.AsyncClient(base_url=await gateway.url(), timeout=60) as client:
        answer = await client.post("/v2/rerank", json={"query": "red", "documents": documents})
        assert "warnings" not in answer.json()["meta"]
    assert peak_mb(gateway) <= LARGEST_MB
