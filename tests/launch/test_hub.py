"""`rerank engine OWNER/NAME` of a model that is not in the catalogue: its files are fetched from the hub and read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from launch.address import free_port
from tests.launch.fake_hub import COMMIT, fake_hub

REPOSITORY = Path(__file__).parents[2]
LOGIT_SCORE = [
    {"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"},
]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def decoder(layers: int) -> dict[str, bytes]:
    """The files of a decoder whose author published the recipe."""
    sizes = {"num_hidden_layers": layers, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 4096}
    return {
        "config.json": as_json({"architectures": ["Qwen3ForCausalLM"], **sizes}),
        "modules.json": as_json(LOGIT_SCORE),
        "1_LogitScore/config.json": as_json({"true_token_id": 1, "false_token_id": 0}),
        "chat_template.jinja": b"{{ messages[0].content }}",
        "tokenizer.json": Tokenizer(WordLevel({"no": 0, "yes": 1}, "no")).to_str().encode(),
        "model.safetensors": bytes(100_000),
    }


HUB = {
    "someone/published-2B": decoder(2),
    "nlpai-lab/KURE-Reranker-base": decoder(3),
    "someone/cross": {
        "config.json": as_json({"architectures": ["RobertaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}),
        "pytorch_model.bin": bytes(1000),
    },
    "someone/fine-tune": {
        "config.json": as_json({"architectures": ["Qwen3ForSequenceClassification"], "num_labels": 1}),
    },
}

# Nothing listens there.
NOBODY = f"http://127.0.0.1:{free_port()}"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rerank(tmp_path: Path) -> Iterator[Run]:
    """Runs `rerank engine ... --dry-run --json` with an empty cache of the hub's files."""
    with fake_hub(HUB) as url:

        def run(*arguments: str, hub: str = url) -> subprocess.CompletedProcess[str]:
            variables = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
            command = [sys.executable, "-m", "launch", "engine", *arguments, "--dry-run", "--json"]
            return subprocess.run(
                [*command, "--vllm-version", "0.32.0"],
                cwd=REPOSITORY,
                env={**os.environ, **variables, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*", "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
            )

        yield run


def started(ended: subprocess.CompletedProcess[str]) -> list[str]:
    assert ended.returncode == 0, ended.stderr
    command: list[str] = json.loads(ended.stdout)["command"]
    return command


def test_a_published_recipe_on_the_hub_is_started_as_its_files_say_and_at_that_commit(rerank: Run) -> None:
    command = started(rerank("someone/published-2B"))
    assert command[:5] == ["vllm", "serve", "someone/published-2B", "--revision", COMMIT]
    names = command[command.index("--served-model-name") + 1 :][:3]
    assert names[:2] == ["published-2B", "someone/published-2B"]
    assert names[2].startswith("recipe:published:")
    assert json.loads(command[command.index("--hf-overrides") + 1]) == {
        "architectures": ["Qwen3ForSequenceClassification"],
        "classifier_from_token": ["no", "yes"],
        "method": "from_2_way_softmax",
    }
    assert command[command.index("--max-model-len") + 1] == "4096"


def test_what_was_fetched_once_is_read_without_the_hub(rerank: Run, tmp_path: Path) -> None:
    online = started(rerank("someone/published-2B"))
    snapshot = next(tmp_path.rglob(f"snapshots/{COMMIT}"))
    (snapshot / "model.safetensors").write_bytes(bytes(100_000))  # as vLLM leaves it
    assert started(rerank("someone/published-2B", hub=NOBODY)) == online


@pytest.mark.parametrize(
    ("name", "start"), [("a/b", "a/b is not in the catalogue, and"), ("KURE-Reranker-base", "KURE-")]
)
def test_without_the_hub_one_clear_line_says_so(name: str, start: str, rerank: Run) -> None:
    ended = rerank(name, hub=NOBODY)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"rerank: {start}")
    assert "its files are not here, and the Hugging Face hub does not answer (" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_listed_model_of_that_family_is_completed_from_its_files(rerank: Run) -> None:
    command = started(rerank("KURE-Reranker-base"))
    assert command[:5] == ["vllm", "serve", "nlpai-lab/KURE-Reranker-base", "--revision", COMMIT]
    assert "--hf-overrides" in command


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["someone/fine-tune"],
            "rerank: someone/fine-tune: its class Qwen3ForSequenceClassification does not tell its recipe, "
            "and no file of it does: say --family qwen3-reranker or zerank or "
            "ctxl-rerank-v2\n",
        ),
        (
            ["Qwen/Qwen3-Reranker-40B"],
            "rerank: Qwen/Qwen3-Reranker-40B is not in the catalogue, and the Hugging Face hub has no model of that "
            "name; did you mean Qwen3-Reranker-4B, Qwen3-Reranker-0.6B, Qwen3-Reranker-8B?\n",
        ),
    ],
)
def test_a_model_that_cannot_be_served_is_one_clear_line(arguments: list[str], complaint: str, rerank: Run) -> None:
    ended = rerank(*arguments)
    assert (ended.returncode, ended.stderr) == (1, complaint)
