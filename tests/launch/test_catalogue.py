"""models.yaml is complete and no name means two models. A new family or model is an entry there and no code."""

import json
from collections import Counter
from pathlib import Path

import pytest

from launch import catalogue
from launch.address import Address
from launch.catalogue import TEMPLATES, Model
from launch.engine import Engine, prepare
from launch.errors import LaunchError
from launch.gateway_config import with_engines
from launch.hardware import Memory
from launch.machine import Machine
from launch.memory import GIB
from launch.vllm import Vllm, parse_version

MODELS = catalogue.read()


@pytest.mark.parametrize("model", MODELS.models, ids=lambda model: model.name)
def test_every_entry_is_complete(model: Model) -> None:
    assert model.engine in ("vllm", "embedded")
    assert set(model.modalities) <= {"text", "image", "video"}
    assert "text" in model.modalities
    assert 0 < model.max_tokens <= model.context
    assert model.weights_gb > 0
    assert parse_version(model.min_vllm) >= (0, 9, 2)
    assert model.hub.count("/") == 1
    if not MODELS.families[model.family].author_files:  # there the sizes are read when the model is started
        assert bool(model.kv_bytes_per_token) == model.causal
    if model.template:
        assert (TEMPLATES / model.template).exists()
        assert model.instruction
    assert all(isinstance(token, str) for token in model.hf_overrides.get("classifier_from_token", ()))  # no booleans
    if "video" in model.modalities:
        assert model.tie_word_embeddings is not None  # vLLM before 0.33 needs it in a nested config


def test_profiles_and_defaults_are_models_of_the_catalogue() -> None:
    for name in [*MODELS.default_models.values(), *[name for names in MODELS.profiles.values() for name in names]]:
        assert MODELS.find(name).name == name
    assert set(MODELS.profiles) == {"text", "vision", "both"}
    assert set(MODELS.default_models) == {"gpu", "cpu"}


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
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(LaunchError, match="known families are qwen3-reranker"):
        MODELS.folder(tmp_path, "qwen2", None)


NEW_FAMILY = """
families:
  new-family:
    modalities: [text, image]
    causal: true
    min_vllm: 0.30.0
    dtype: bfloat16
    hf_overrides: {architectures: [NewForSequenceClassification]}
    logit_mean: 4.5
    logit_sigma: 5
    architectures:
      NewForCausalLM: {}
      NewForSequenceClassification: {hf_overrides: {}, vllm_args: [--trust-remote-code, --enforce-eager]}
    template: qwen3_reranker.jinja
    vllm_args: [--trust-remote-code]
models:
  new-model:
    family: new-family
    hub: somebody/new-model
    context: 4096
    max_tokens: 2048
    weights_gb: 1.0
    layers: 2
    kv_heads: 2
    head_dim: 16
"""


def served(folder: Path, text: str, name: str) -> Engine:
    file = folder / "models.yaml"
    file.write_text(text)
    known = catalogue.read(file)
    machine = Machine(Vllm("vllm", "0.32.0", cpu=False), Memory("cuda", 24 * GIB, 23 * GIB))
    return prepare(known.find(name), known, machine, Address("127.0.0.1", 1))


def test_a_new_family_is_an_entry_of_models_yaml(tmp_path: Path) -> None:
    engine = served(tmp_path, NEW_FAMILY, "new-model")
    command = " ".join(engine.commands[0])
    assert "--trust-remote-code" in command
    assert "qwen3_reranker.jinja" in command
    assert "NewForSequence" in command
    config = with_engines({}, [engine], {"new-model": 0})
    entry = config["models"]["new-model"]
    assert (entry["family"], entry["logit_mean"], entry["logit_sigma"]) == ("new-family", 4.5, 5.0)
    assert config["default_media_model"] == "new-model"


def test_a_model_takes_the_fields_of_its_class_and_its_own_win(tmp_path: Path) -> None:
    text = NEW_FAMILY.replace("    context:", "    architecture: NewForSequenceClassification\n    context:")
    command = served(tmp_path, text, "new-model").commands[0]
    assert "--hf-overrides" not in command
    assert command[-2:] == ["--trust-remote-code", "--enforce-eager"]
    own = served(tmp_path, text + "    vllm_args: [--seed=1]\n", "new-model").commands[0]
    assert "--enforce-eager" not in own


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("family: new-family", "family: old", r"models\.new-model\.family: known families are new-family"),
        ("layers: 2", "layers: two", r"models\.new-model: Expected `int`, got `str` - at `\$\.layers`"),
        ("layers: 2", "layer: 2", r"models\.new-model: .*unknown field `layer`"),
        ("logit_mean: 4.5", "told_by: luck", r"families\.new-family: Invalid enum value 'luck'"),
        ("hub: somebody/new-model", "", r"models\.new-model: .*missing required field `hub`"),
    ],
)
def test_a_mistake_in_models_yaml_is_named(tmp_path: Path, right: str, wrong: str, complaint: str) -> None:
    with pytest.raises(LaunchError, match=complaint):
        served(tmp_path, NEW_FAMILY.replace(right, wrong), "new-model")


@pytest.mark.parametrize("name", ["ms-marco-MiniLM-L6-v2", "BAAI/bge-reranker-base"])
def test_a_small_cross_encoder_runs_embedded_where_there_is_no_vllm(name: str) -> None:
    model = MODELS.find(name)
    engine = prepare(model, MODELS, Machine(None, None), Address("127.0.0.1", 1))
    command = " ".join(engine.commands[0])
    assert f"-m launch.embedded --host 127.0.0.1 --port 1 --model {model.hub}" in command
    assert f"--served-model-name {model.name} {model.hub}" in command
    assert with_engines({}, [engine], {model.name: 0})["models"][model.name]["tokenizer"] == model.hub
    with_vllm = Machine(Vllm("vllm", "0.32.0", cpu=True), Memory("cpu", 24 * GIB, 23 * GIB))
    assert prepare(model, MODELS, with_vllm, Address("127.0.0.1", 1)).commands[0][:2] == ["vllm", "serve"]
