"""models.yaml is complete and says nothing twice; a folder is as good as an entry."""

import json
from collections import Counter
from pathlib import Path

import pytest

from launch import catalogue
from launch.catalogue import TEMPLATES, LaunchError, Model
from launch.command import parse_version

MODELS = catalogue.read()


@pytest.mark.parametrize("model", MODELS.models, ids=lambda model: model.name)
def test_every_entry_is_complete(model: Model) -> None:
    assert model.engine in ("vllm", "embedded")
    assert set(model.modalities) <= {"text", "image", "video"} and "text" in model.modalities
    assert 0 < model.max_tokens <= model.context
    assert model.weights_gb > 0
    assert parse_version(model.min_vllm) >= (0, 9, 2)
    assert model.hub.count("/") == 1
    if model.family != "cross-encoder":
        assert model.template and (TEMPLATES / model.template).exists()
        assert model.hf_overrides["classifier_from_token"] == ["no", "yes"]  # not YAML's booleans
        assert model.kv_bytes_per_token and model.instruction
    if model.family == "qwen3-vl-reranker":
        assert model.tie_word_embeddings is not None


def test_no_name_means_two_models() -> None:
    counts = Counter(name.lower() for model in MODELS.models for name in {name.lower() for name in model.names})
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.name)
def test_no_template_ends_in_a_newline_that_jinja_would_eat(template: Path) -> None:
    assert template.read_text().endswith('\\n" }}')


@pytest.mark.parametrize("name", ["qwen3-reranker-4b", "QWEN/qwen3-reranker-4B", "qwen3-4b"])
def test_a_model_is_found_by_any_of_its_names(name: str) -> None:
    assert MODELS.find(name).name == "Qwen3-Reranker-4B"


def test_a_misspelt_name_is_answered_with_its_neighbours() -> None:
    with pytest.raises(LaunchError, match="no model called 'qwen3-rerankr-4b'; did you mean Qwen3-Reranker-4B"):
        MODELS.find("qwen3-rerankr-4b")


def test_a_folder_becomes_a_model_of_its_family(tmp_path: Path) -> None:
    text = {"max_position_embeddings": 4096, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text, "tie_word_embeddings": True}))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    model = MODELS.folder(tmp_path, "qwen3-vl-reranker", None)
    assert (model.name, model.hub, model.max_tokens) == (tmp_path.name, str(tmp_path), 4096)
    assert (model.weights_bytes, model.kv_bytes_per_token) == (1000, 2 * 2 * 2 * 16 * 2)
    assert model.tie_word_embeddings is True
    assert MODELS.folder(tmp_path, "qwen3-reranker", 2048).max_tokens == 2048


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"holds no readable config\.json"):
        MODELS.folder(tmp_path, "qwen3-reranker", None)
    with pytest.raises(LaunchError, match="known families are qwen3-reranker"):
        MODELS.folder(tmp_path, "qwen2", None)
