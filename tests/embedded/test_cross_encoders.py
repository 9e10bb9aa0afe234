"""Any cross-encoder of BERT's or XLM-RoBERTa's kind runs in the embedded engine as in Sentence Transformers."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer

from launch.embedded import cross_encoder
from launch.embedded.encoder import Encoder
from launch.embedded.graph import build
from launch.embedded.weights import Precision
from tests.embedded.engine_process import started
from tests.embedded.local_hub import COMMIT, MODEL, Hub, local_hub
from tests.embedded.tiny_models import PAIRS, TOKENS, write_bert, write_xlm_roberta

RECORDED = json.loads(Path(__file__).with_name("cross_encoders.json").read_text(encoding="utf-8"))
Write = Callable[..., Path]
KINDS = pytest.mark.parametrize(
    ("write", "recorded"),
    [(write_bert, RECORDED["bert"]), (write_xlm_roberta, RECORDED["xlm-roberta"])],
    ids=["bert", "xlm-roberta"],
)


def logits(folder: Path, precision: Precision) -> list[float]:
    checkpoint = cross_encoder.find(str(folder), None, Path("no-hub-cache"))
    graph = build(checkpoint.source.weights(), checkpoint.source.architecture, precision)
    model = cross_encoder.Model(checkpoint, Encoder(graph, checkpoint.source.embeddings), [])
    return [model.logit(pair)[0] for pair in PAIRS]


@KINDS
def test_float32_logits_are_those_of_sentence_transformers(write: Write, recorded: list[float], tmp_path: Path) -> None:
    assert logits(write(tmp_path / "model"), "float32") == pytest.approx(recorded, abs=1e-5)


@KINDS
def test_both_quantised_forms_are_near_and_equal(write: Write, recorded: list[float], tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    assert logits(folder, "int8") == pytest.approx(recorded, abs=0.1)
    assert logits(folder, "int8") == pytest.approx(logits(folder, "uint8"), abs=1e-5)


@KINDS
def test_an_engine_serves_a_folder(write: Write, recorded: list[float], tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    arguments = ("--model", str(folder), "--served-model-name", "tiny", "team/tiny")
    with started(tmp_path / "graphs", tmp_path / "log", *arguments) as engine:
        for (query, document), logit in zip(PAIRS, recorded, strict=True):
            assert engine.scores(query, document) == pytest.approx([1 / (1 + math.exp(-logit))], abs=0.03)
            assert engine.tokens(query, document) == min(TOKENS, len(tokenizer.encode(query, document)))
        body = {"model": "team/tiny", "text_1": "how", "text_2": ["a", "the"], "use_activation": False}
        answer = httpx.post(f"{engine.url}/score", json=body).raise_for_status().json()
        raw = [entry["score"] for entry in answer["data"]]
        assert [1 / (1 + math.exp(-logit)) for logit in raw] == pytest.approx(engine.scores("how", "a", "the"))
        listed = httpx.get(f"{engine.url}/v1/models").json()["data"]
        ids = tokenizer.encode("how to reset").ids
        body = {"input": [ids, ids[:3]], "use_activation": False}
        classified = httpx.post(f"{engine.url}/classify", json=body).raise_for_status().json()
        too_long = httpx.post(f"{engine.url}/classify", json={"input": [ids * 40]})
        unknown = httpx.post(f"{engine.url}/classify", json={"input": [[10**6]]})
    assert [len(entry["probs"]) for entry in classified["data"]] == [1, 1]
    assert classified["usage"]["prompt_tokens"] == len(ids) + 3
    assert (too_long.status_code, unknown.status_code) == (400, 400)
    assert [model["id"] for model in listed] == ["tiny", "team/tiny"]
    assert {model["max_model_len"] for model in listed} == {TOKENS}
    assert str(folder) in listed[0]["root"]


def test_token_ids_are_scored_as_their_pair_is(tmp_path: Path) -> None:
    """The gateway asks so where ids tell all that the model reads."""
    folder = write_xlm_roberta(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fitting = [pair for pair in PAIRS if len(tokenizer.encode(*pair)) <= TOKENS]
    with started(tmp_path / "graphs", tmp_path / "log", "--model", str(folder)) as engine:
        url = f"{engine.url}/classify"
        prompts = [tokenizer.encode(*pair).ids for pair in fitting]
        answer = httpx.post(url, json={"input": prompts, "use_activation": False}).raise_for_status().json()
        logits_of_ids = [entry["probs"][0] for entry in answer["data"]]
        scores = [engine.scores(*pair)[0] for pair in fitting]
        assert [1 / (1 + math.exp(-logit)) for logit in logits_of_ids] == pytest.approx(scores, abs=1e-6)
        assert answer["usage"]["prompt_tokens"] == sum(map(len, prompts))
        activated = httpx.post(url, json={"input": prompts}).json()
        assert [entry["probs"][0] for entry in activated["data"]] == pytest.approx(scores, abs=1e-6)
        wrong: list[int]
        for wrong in ([], [5] * (TOKENS + 1), [10**6], [-1]):
            assert httpx.post(url, json={"input": [wrong]}).status_code == 400


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"id2label": {"0": "no", "1": "yes"}, "label2id": {}}, "has 2 labels, and a reranker has one"),
        ({"model_type": "deberta-v2"}, "runs cross-encoders of bert, roberta, xlm-roberta"),
        ({"architectures": ["BertForMaskedLM"]}, "is a BertForMaskedLM; the embedded engine runs"),
        ({"hidden_act": "relu"}, "has hidden_act 'relu'"),
        ({"position_embedding_type": "relative_key"}, "has position_embedding_type 'relative_key'"),
    ],
)
def test_a_model_that_it_cannot_run_is_refused_in_one_line(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "model", **config)
    with (
        pytest.raises(RuntimeError, match=rf"\A[^\n]*{says}[^\n]*\n\Z"),
        started(tmp_path / "graphs", tmp_path / "log", "--model", str(folder)),
    ):
        pass


def test_a_model_comes_from_the_hub_once_at_a_revision_that_the_log_tells(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "model")
    log, cache = tmp_path / "log", tmp_path / "graphs"
    with local_hub(folder) as hub, started(cache, log, "--model", MODEL, **from_hub(hub, tmp_path)) as engine:
        scores = engine.scores("how to reset", "click forgot password")
        (listed,) = httpx.get(f"{engine.url}/v1/models").json()["data"]
    assert f"{MODEL} at revision {COMMIT}" in log.read_text()
    assert listed["root"].startswith(f"{MODEL}@{COMMIT}:")
    # Now the hub is gone.
    with started(cache, log, "--model", MODEL, "--revision", COMMIT, **from_hub(hub, tmp_path)) as offline:
        assert offline.scores("how to reset", "click forgot password") == scores


def test_a_model_that_the_hub_does_not_give_is_one_clear_line(tmp_path: Path) -> None:
    with local_hub(write_bert(tmp_path / "model")) as hub:
        assert "the hub has no model team/none" in refusal(tmp_path, "team/none", hub)
    assert f"{MODEL} is not in {tmp_path / 'hub'}, and the hub did not give it" in refusal(tmp_path, MODEL, hub)
    assert "is neither a folder here nor the name of a model" in refusal(tmp_path, "./no/such/folder", hub)


def refusal(tmp_path: Path, model: str, hub: Hub) -> str:
    """The last line of the log of an engine that refuses to start."""
    with (
        pytest.raises(RuntimeError) as refused,
        started(tmp_path / "graphs", tmp_path / "log", "--model", model, **from_hub(hub, tmp_path)),
    ):
        pass
    return str(refused.value).splitlines()[-1]


def from_hub(hub: Hub, folder: Path) -> dict[str, Any]:
    """Arguments of `started` for an engine that knows this hub alone."""
    return {"hub_cache": folder / "hub", "environment": {"HF_ENDPOINT": hub.url}}
