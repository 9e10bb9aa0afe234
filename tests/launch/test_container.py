"""The settings a container's gateway takes for the engines beside it."""

from typing import Any

import pytest

from launch.catalogue import LaunchError
from launch.container import engine_address, settings

TEXT = engine_address("Qwen3-Reranker-4B", "http://engine:8001", "4096")
VISION = engine_address("Qwen3-VL-Reranker-8B", "http://engine-vision:8001", "")
EMBEDDED = engine_address("embedded", "http://engine-embedded:8001", "512")
ALL = [TEXT, VISION, EMBEDDED]


def written(*there: str, config: dict[str, Any] | None = None, known: dict[str, Any] | None = None) -> dict[str, Any]:
    return settings(config or {}, ALL, known or {}, lambda host: host in there)


@pytest.mark.parametrize(
    ("hosts", "models"),
    [
        (["engine-embedded"], ["all-MiniLM-L6-v2"]),
        (["engine", "engine-embedded"], ["Qwen3-Reranker-4B", "all-MiniLM-L6-v2"]),
        (
            ["engine", "engine-vision", "engine-embedded"],
            ["Qwen3-Reranker-4B", "Qwen3-VL-Reranker-8B", "all-MiniLM-L6-v2"],
        ),
    ],
)
def test_the_engines_that_are_there_are_served_and_the_first_is_the_default(
    hosts: list[str], models: list[str]
) -> None:
    config = written(*hosts)
    assert list(config["models"]) == models  # the gateway takes the first
    assert "default_model" not in config


def test_an_entry_is_the_catalogues_with_the_length_the_engine_was_started_with() -> None:
    entry = written("engine")["models"]["Qwen3-Reranker-4B"]
    assert entry["family"] == "qwen3-reranker"
    assert (entry["engine"], entry["hub"]) == ("http://engine:8001", "Qwen/Qwen3-Reranker-4B")
    assert entry["max_tokens"] == 4096
    assert written("engine-vision")["models"]["Qwen3-VL-Reranker-8B"]["max_tokens"] == VISION.model.max_tokens


def test_an_engine_this_container_knew_stays_when_it_is_down() -> None:
    before = written("engine", "engine-embedded")
    assert written("engine-embedded", known=before) == before


def test_a_file_that_names_models_decides_and_any_other_setting_is_kept() -> None:
    mine = {"models": {"mine": {"family": "cross-encoder", "engine": "http://elsewhere"}}}
    assert written("engine", config=mine) == mine
    assert written("engine", config={"unknown_model": "error"})["unknown_model"] == "error"


def test_no_engine_at_all_is_said() -> None:
    with pytest.raises(LaunchError, match="no engine is beside this gateway: engine, engine-vision, engine-embedded"):
        written()


def test_a_model_nobody_knows_is_said() -> None:
    with pytest.raises(LaunchError, match="did you mean Qwen3-Reranker-4B"):
        engine_address("Qwen3-Reranker-4", "http://engine:8001", "")
