"""The settings of a container's gateway for the engines beside it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.container import configuration, engine_address, models_beside
from launch.errors import LaunchError

WORDS = [
    ["Qwen3-Reranker-4B", "http://engine:8001", "4096"],
    ["Qwen3-VL-Reranker-8B", "http://engine-vision:8001", ""],
    ["embedded", "http://engine-embedded:8001", "512"],
]
ALL = [engine_address(*words) for words in WORDS]
VISION = ALL[1]


def models(*there: str, known: dict[str, Any] | None = None) -> dict[str, Any]:
    return models_beside(ALL, known or {}, lambda host: host in there)


def written(tmp_path: Path, *there: str, config: dict[str, Any] | None = None, **environment: str) -> dict[str, Any]:
    """The configuration in a container with this RERANK_CONFIG and these variables."""
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump(config or {}))
    variables = {"RERANK_CONFIG": str(given), **environment}
    text = configuration(WORDS, tmp_path / "merged.yaml", variables, lambda host: host in there)
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@pytest.mark.parametrize(
    ("hosts", "names"),
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
    hosts: list[str], names: list[str], tmp_path: Path
) -> None:
    config = written(tmp_path, *hosts)
    assert list(config["models"]) == names  # the gateway takes the first
    assert "default_model" not in config


def test_an_entry_is_the_catalogues_with_the_length_the_engine_was_started_with() -> None:
    entry = models("engine")["Qwen3-Reranker-4B"]
    assert entry["family"] == "qwen3-reranker"
    assert (entry["engine"], entry["hub"]) == ("http://engine:8001", "Qwen/Qwen3-Reranker-4B")
    assert entry["max_tokens"] == 4096
    assert models("engine-vision")["Qwen3-VL-Reranker-8B"]["max_tokens"] == VISION.model.max_tokens


def test_an_engine_this_container_knew_stays_when_it_is_down(tmp_path: Path) -> None:
    before = written(tmp_path, "engine", "engine-embedded")
    (tmp_path / "merged.yaml").write_text(yaml.safe_dump(before))
    assert written(tmp_path, "engine-embedded") == before


MINE = {"mine": {"family": "cross-encoder", "engine": "http://elsewhere"}}


def test_a_file_that_names_models_decides_and_any_other_setting_is_kept(tmp_path: Path) -> None:
    assert written(tmp_path, "engine", config={"models": MINE}) == {"models": MINE}
    assert written(tmp_path, "engine", config={"unknown_model": "error"})["unknown_model"] == "error"


def test_models_of_the_environment_need_no_engine_beside_the_gateway(tmp_path: Path) -> None:
    config = written(tmp_path, config={"unknown_model": "error"}, RERANK_MODELS=yaml.safe_dump(MINE))
    assert config == {"unknown_model": "error"}


def test_a_setting_the_gateway_would_refuse_is_named_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"limits\.max_documents"):
        written(tmp_path, "engine", RERANK_LIMITS_MAX_DOCUMENTS="none at all")


def test_no_engine_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="no engine is beside this gateway: engine, engine-vision, engine-embedded"):
        written(tmp_path)


def test_a_model_nobody_knows_is_said() -> None:
    with pytest.raises(LaunchError, match="did you mean Qwen3-Reranker-4B"):
        engine_address("Qwen3-Reranker-4", "http://engine:8001", "")
