"""The family of a model that is not in the catalogue: told by its files, or refused with the families that fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from launch import catalogue
from launch.errors import LaunchError

MODELS = catalogue.read()
ONE: dict[str, Any] = {"id2label": {"0": "LABEL_0"}}
TRANSFORMER = {"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
LOGIT_SCORE = {"path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.base.modules.dense.Dense"}


def checkpoint(
    folder: Path,
    architecture: str | None,
    *,
    modules: list[dict[str, str]] | None = None,
    logit_score: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """A folder with the small files of a checkpoint."""
    named = {"architectures": [architecture]} if architecture else {}
    (folder / "config.json").write_text(json.dumps({**named, **config}))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    if logit_score is not None:
        (folder / "1_LogitScore").mkdir()
        (folder / "1_LogitScore" / "config.json").write_text(json.dumps(logit_score))
        (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
        Tokenizer(WordLevel({"Ġno": 0, "Ġyes": 1, "!": 2}, "!")).save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("BertForSequenceClassification", "cross-encoder"),
        ("XLMRobertaForSequenceClassification", "cross-encoder"),
        ("ModernBertForSequenceClassification", "cross-encoder"),
        ("NewForSequenceClassification", "cross-encoder"),
        ("LlamaBidirectionalForSequenceClassification", "nemotron-rerank"),
        ("JinaVLForRanking", "jina-reranker-m0"),
    ],
)
def test_a_class_of_one_recipe_tells_the_family(architecture: str, family: str, tmp_path: Path) -> None:
    assert MODELS.folder(checkpoint(tmp_path, architecture, **ONE), None, None).family == family


@pytest.mark.parametrize(
    ("settings", "overrides"),
    [
        (
            {"true_token_id": 1, "false_token_id": 0},
            {"classifier_from_token": ["Ġno", "Ġyes"], "method": "from_2_way_softmax"},
        ),
        (
            {"true_token_id": 2, "false_token_id": None},
            {"classifier_from_token": ["!"], "method": "no_post_processing"},
        ),
        ({"true_token_id": 2}, {"classifier_from_token": ["!"], "method": "no_post_processing"}),
    ],
)
def test_a_published_recipe_tells_the_family_and_how_to_start_it(
    settings: dict[str, Any], overrides: dict[str, Any], tmp_path: Path
) -> None:
    folder = checkpoint(
        tmp_path, "Qwen3ForCausalLM", modules=[TRANSFORMER, LOGIT_SCORE], logit_score=settings, num_hidden_layers=2
    )
    model = MODELS.folder(folder, None, None)
    assert (model.family, model.layers) == ("published", 2)
    assert model.hf_overrides == {"architectures": ["Qwen3ForSequenceClassification"], **overrides}


@pytest.mark.parametrize(
    ("architecture", "files", "complaint"),
    [
        (
            "Qwen3ForSequenceClassification",
            ONE,
            "does not tell its recipe, and no file of it does: say --family qwen3-reranker or zerank or ctxl-rerank-v2",
        ),
        ("Qwen3ForCausalLM", {}, "say --family qwen3-reranker or zerank or ctxl-rerank-v2"),
        ("Qwen2ForCausalLM", {}, "say --family mxbai-rerank-v2"),
        ("GemmaForCausalLM", {}, "say --family bge-reranker-gemma"),
        ("Qwen3VLForConditionalGeneration", {}, "say --family qwen3-vl-reranker"),
        ("JinaForRanking", {}, "say --family jina-reranker-v3"),
        ("BertForSequenceClassification", {}, "it gives 2 labels, and a reranker gives one"),
        ("XLMRobertaForSequenceClassification", {"id2label": dict.fromkeys("012")}, "it gives 3 labels"),
        (
            "DebertaV2ForSequenceClassification",
            ONE,
            "its class is DebertaV2ForSequenceClassification (families: qwen3-",
        ),
        ("BertModel", {"modules": [TRANSFORMER, DENSE]}, "no family reads it: its class is BertModel"),
        (
            "ModernBertForSequenceClassification",
            {**ONE, "modules": [TRANSFORMER, DENSE]},
            "its modules.json adds Dense",
        ),
        (None, {}, r"names no class: say which --family it is (qwen3-reranker, qwen3-vl-reranker, cross-encoder"),
    ],
)
def test_what_the_files_do_not_tell_is_refused_with_the_families_that_fit(
    architecture: str | None, files: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError) as refused:
        MODELS.folder(checkpoint(tmp_path, architecture, **files), None, None)
    assert complaint in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("architecture", "family", "overridden"),
    [
        ("Qwen3ForCausalLM", "qwen3-reranker", True),
        ("Qwen3ForSequenceClassification", "qwen3-reranker", False),
        ("Qwen3ForCausalLM", "zerank", True),
        ("Qwen2ForSequenceClassification", "mxbai-rerank-v2", False),
        ("JinaForRanking", "jina-reranker-v3", False),
        (None, "cross-encoder", False),
    ],
)
def test_the_family_that_the_user_names_decides(
    architecture: str | None, family: str, overridden: bool, tmp_path: Path
) -> None:
    model = MODELS.folder(checkpoint(tmp_path, architecture, **ONE), family, None)
    assert model.family == family
    assert bool(model.hf_overrides) is overridden


@pytest.mark.parametrize(
    ("architecture", "family", "files", "complaint"),
    [
        ("BertForSequenceClassification", "qwen3-reranker", ONE, "its class is BertForSequenceClassification"),
        ("Qwen3ForSequenceClassification", "cross-encoder", ONE, "its class is Qwen3ForSequenceClassification"),
        ("BertForSequenceClassification", "cross-encoder", {"num_labels": 3}, "it gives 3 labels"),
        ("Qwen3ForCausalLM", "published", {}, "its modules.json has no LogitScore"),
        (
            "Qwen3VLForConditionalGeneration",
            "published",
            {"modules": [TRANSFORMER, LOGIT_SCORE], "logit_score": {"true_token_id": 1}},
            "LogitScore is read of classes that end in ForCausalLM",
        ),
        (
            "Qwen3ForCausalLM",
            "published",
            {"modules": [TRANSFORMER, LOGIT_SCORE, DENSE], "logit_score": {"true_token_id": 1}},
            "its modules.json adds Dense",
        ),
    ],
)
def test_a_family_that_the_files_contradict_is_refused(
    architecture: str, family: str, files: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError) as refused:
        MODELS.folder(checkpoint(tmp_path, architecture, **files), family, None)
    assert str(refused.value).startswith(f"{tmp_path}: {family} is not its family: ")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("missing", "complaint"), [("chat_template.jinja", "no chat template"), ("tokenizer.json", "no tokenizer.json")]
)
def test_a_recipe_that_lacks_a_file_is_refused(missing: str, complaint: str, tmp_path: Path) -> None:
    modules = [TRANSFORMER, LOGIT_SCORE]
    folder = checkpoint(tmp_path, "Qwen3ForCausalLM", modules=modules, logit_score={"true_token_id": 1})
    (folder / missing).unlink()
    with pytest.raises(LaunchError, match=f"published is not its family: it has {complaint}"):
        MODELS.folder(folder, "published", None)


def test_a_template_in_the_tokenizers_settings_is_one_too(tmp_path: Path) -> None:
    modules = [TRANSFORMER, LOGIT_SCORE]
    folder = checkpoint(tmp_path, "Qwen3ForCausalLM", modules=modules, logit_score={"true_token_id": 1})
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert MODELS.folder(folder, None, None).family == "published"


def test_a_token_that_the_tokenizer_lacks_is_refused(tmp_path: Path) -> None:
    modules = [TRANSFORMER, LOGIT_SCORE]
    folder = checkpoint(tmp_path, "Qwen3ForCausalLM", modules=modules, logit_score={"true_token_id": 9})
    with pytest.raises(LaunchError, match="has no token of the id 9 that LogitScore names"):
        MODELS.folder(folder, None, None)


def test_a_class_that_vllm_calls_otherwise_is_started_under_its_name_there(tmp_path: Path) -> None:
    model = MODELS.folder(checkpoint(tmp_path, "NewForSequenceClassification", **ONE), None, None)
    assert model.hf_overrides == {"architectures": ["GteNewForSequenceClassification"]}
    assert model.vllm_args == ("--trust-remote-code",)


def test_positions_before_the_first_token_are_no_context(tmp_path: Path) -> None:
    config: dict[str, Any] = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1, **ONE}
    assert (
        MODELS.folder(checkpoint(tmp_path, "XLMRobertaForSequenceClassification", **config), None, None).context == 512
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"architectures": [], "num_hidden_layers": "two"}'),
        ("config.json", "\xff"),
        ("modules.json", "{}"),
        ("1_LogitScore/config.json", "{}"),
    ],
)
def test_a_file_that_is_no_such_file_is_one_clear_line(name: str, content: str, tmp_path: Path) -> None:
    modules = [TRANSFORMER, LOGIT_SCORE]
    folder = checkpoint(tmp_path, "Qwen3ForCausalLM", modules=modules, logit_score={"true_token_id": 1})
    (folder / name).write_text(content, encoding="latin-1")
    with pytest.raises(LaunchError, match=f"holds no readable {Path(name).name}: ") as refused:
        MODELS.folder(folder, None, None)
    assert "\n" not in str(refused.value)
