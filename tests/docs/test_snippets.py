"""Snippets of the pages run as printed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from gateway.settings import load
from tests.docs.pages import URL, page, snippets
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine

DEADLINE_S = 60


async def printed(language: str, text: str, url: str, folder: Path) -> str:
    """The output of a snippet whose gateway is at `url`, run in `folder`."""
    assert URL in text, f"this snippet asks no gateway at {URL}:\n{text}"
    command = {"python": [sys.executable, "-c"], "sh": ["bash", "-euc"]}[language]
    process = await asyncio.create_subprocess_exec(
        *command,
        text.replace(URL, url),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def test_the_first_snippet_prints_what_the_readme_says(url: str, tmp_path: Path) -> None:
    (snippet,) = snippets("README.md", "python")
    assert await printed("python", snippet.text, url, tmp_path) == snippet.then


async def test_the_readmes_curl_ranks(url: str, tmp_path: Path) -> None:
    (line,) = [line for line in page("README.md").splitlines() if line.startswith("curl")]
    answer = json.loads(await printed("sh", line, url, tmp_path))
    assert [result["index"] for result in answer["results"]] == [1, 0]


@pytest.mark.parametrize("name", ["docs/clients.md", "docs/api.md"])
async def test_every_snippet_of_a_page_runs(name: str, url: str, tmp_path: Path) -> None:
    found = [*snippets(name, "python"), *snippets(name, "sh")]
    assert found
    for snippet in found:
        out = await printed(snippet.language, snippet.text, url, tmp_path)
        assert out, snippet.text
        if snippet.language == "sh":
            assert "results" in json.loads(out), out


async def test_the_api_answers_as_its_page_shows(url: str, tmp_path: Path) -> None:
    (snippet,) = snippets("docs/api.md", "sh")
    answer = json.loads(
        await printed("sh", snippet.text.replace('"top_n"', '"cache": "no-store", "top_n"'), url, tmp_path)
    )
    assert rounded(answer) == rounded(json.loads(snippet.then))


def rounded(answer: Any) -> Any:
    """An answer without what differs from one request to the next, floats to three places."""
    if isinstance(answer, dict):
        return {key: rounded(value) for key, value in answer.items() if key != "id"}
    if isinstance(answer, list):
        return [rounded(value) for value in answer]
    return round(answer, 3) if isinstance(answer, float) else answer


async def test_pictures_go_as_their_page_shows(serve: Serve, engine: StubEngine, tmp_path: Path) -> None:
    engine.tokenizer = qwen_like()
    model = {"family": "qwen3-vl-reranker", "tokenizer": str(save(engine.tokenizer, tmp_path)), "max_tokens": 4096}
    gateway = str((await serve(model=model, default_media_model="words")).base_url).rstrip("/")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "mug.png")
    (python,) = snippets("docs/media.md", "python")
    lines = (await printed("python", python.text, gateway, tmp_path)).splitlines()
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["0", "1", "2"]
    ranked, seen = [
        json.loads(await printed("sh", shell.text, gateway, tmp_path)) for shell in snippets("docs/media.md", "sh")
    ]
    assert len(ranked["results"]) == 2
    assert "warnings" not in ranked["meta"]
    assert len(seen["frames"]) == 1


@pytest.mark.parametrize("snippet", snippets("docs/configuration.md", "yaml"), ids=["example"])
def test_the_example_of_a_configuration_is_one(snippet: Any) -> None:
    settings = load(snippet.text, {})
    assert set(settings.models) == set(yaml.safe_load(snippet.text)["models"])
