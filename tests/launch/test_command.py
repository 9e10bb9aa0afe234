"""The exact command line for each range of vLLM versions."""

import re

import msgspec
import pytest

from launch import catalogue
from launch.address import Address
from launch.catalogue import TEMPLATES, Model
from launch.command import engine_environment, vllm_command
from launch.errors import LaunchError
from launch.memory import Plan
from launch.vllm import Vllm, parse_version

MODELS = catalogue.read()
GPU = Plan(max_model_len=8192, max_num_seqs=128, gpu_memory_utilization=0.55)
CPU = Plan(max_model_len=2048, max_num_seqs=64, kv_cache_bytes=64 << 20)

HERE = Address("127.0.0.1", 8001)
SIZES = ["--max-num-seqs", "128", "--gpu-memory-utilization", "0.55"]
QWEN3 = (
    '{"architectures":["Qwen3ForSequenceClassification"],'
    '"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true}'
)
QWEN3_TEMPLATE = ["--chat-template", str(TEMPLATES / "qwen3_reranker.jinja")]


def command_of(model: Model, version: str, plan: Plan = GPU, extra: list[str] | None = None) -> list[str]:
    return vllm_command(model, Vllm("vllm", version, cpu=False), plan, HERE, extra or [])


def without_digest(command: list[str]) -> list[str]:
    """The command with the digest of its recipe marker left out."""
    return [re.sub(r"^(recipe:.+):[0-9a-f]{12}$", r"\1", word) for word in command]


def marker(command: list[str]) -> str:
    """The last of the served names."""
    start = command.index("--served-model-name") + 1
    end = next(place for place in range(start, len(command)) if command[place].startswith("--"))
    return command[end - 1]


SERVE_4B = [
    *["vllm", "serve", "Qwen/Qwen3-Reranker-4B", "--host", "127.0.0.1", "--port", "8001"],
    *["--served-model-name", "Qwen3-Reranker-4B", "Qwen/Qwen3-Reranker-4B", "recipe:qwen3-reranker"],
]
SIZES_4B = ["--dtype", "bfloat16", "--max-model-len", "8192", *SIZES]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (
            ["0.9.2", "0.10.0"],
            [*SERVE_4B, "--task", "score", *SIZES_4B, "--hf-overrides", QWEN3, "--enable-prefix-caching"],
        ),
        (
            ["0.10.1", "0.12.0", "0.13.0"],
            [*SERVE_4B, "--runner", "pooling", *SIZES_4B, "--hf-overrides", QWEN3, "--enable-prefix-caching"],
        ),
        (
            ["0.14.0", "0.15.1", "0.32.0", "0.32.0+cpu", "0.33.0", "0.34.0"],
            [
                *[*SERVE_4B, "--runner", "pooling", *SIZES_4B, "--hf-overrides", QWEN3],
                *[*QWEN3_TEMPLATE, "--enable-prefix-caching"],
            ],
        ),
    ],
    ids=["task", "runner", "runner and template"],
)
def test_the_command_fits_the_version(versions: list[str], expected: list[str]) -> None:
    model = MODELS.find("Qwen3-Reranker-4B")
    for version in versions:
        assert without_digest(command_of(model, version)) == expected


# One model of each way to start: hub id, family, dtype, and the arguments that make its scores.
STARTS: dict[str, tuple[str, str, str, list[str]]] = {
    "Qwen3-Reranker-0.6B-seq-cls": (
        "tomaarsen/Qwen3-Reranker-0.6B-seq-cls",
        "qwen3-reranker",
        "bfloat16",
        [*QWEN3_TEMPLATE, "--enable-prefix-caching"],
    ),
    "bge-reranker-v2-m3": ("BAAI/bge-reranker-v2-m3", "cross-encoder", "float16", []),
    "gte-multilingual-reranker-base": (
        "Alibaba-NLP/gte-multilingual-reranker-base",
        "cross-encoder",
        "float16",
        ["--hf-overrides", '{"architectures":["GteNewForSequenceClassification"]}', "--trust-remote-code"],
    ),
    "mxbai-rerank-large-v2": (
        "mixedbread-ai/mxbai-rerank-large-v2",
        "mxbai-rerank-v2",
        "bfloat16",
        [
            "--hf-overrides",
            '{"architectures":["Qwen2ForSequenceClassification"],'
            '"classifier_from_token":["0","1"],"method":"from_2_way_softmax"}',
            "--enable-prefix-caching",
        ],
    ),
    "zerank-2": (
        "zeroentropy/zerank-2",
        "zerank",
        "bfloat16",
        [
            "--hf-overrides",
            '{"architectures":["Qwen3ForSequenceClassification"],'
            '"classifier_from_token":["Yes"],"method":"no_post_processing"}',
            "--enable-prefix-caching",
        ],
    ),
    "bge-reranker-v2-gemma": (
        "BAAI/bge-reranker-v2-gemma",
        "bge-reranker-gemma",
        "bfloat16",
        [
            "--hf-overrides",
            '{"architectures":["GemmaForSequenceClassification"],'
            '"classifier_from_token":["Yes"],"method":"no_post_processing"}',
            "--enable-prefix-caching",
        ],
    ),
    "llama-nemotron-rerank-1b-v2": ("nvidia/llama-nemotron-rerank-1b-v2", "nemotron-rerank", "bfloat16", []),
    "jina-reranker-m0": ("jinaai/jina-reranker-m0", "jina-reranker-m0", "bfloat16", []),
    "jina-reranker-v3": ("jinaai/jina-reranker-v3", "jina-reranker-v3", "bfloat16", []),
}


@pytest.mark.parametrize("version", ["0.32.0", "0.33.0", "0.34.0"])
@pytest.mark.parametrize("name", STARTS)
def test_an_engine_is_started_with_all_that_makes_its_scores_and_nothing_else(name: str, version: str) -> None:
    """vLLM 0.33 applies a chat template that it finds saved, and its successor reads LogitScore too.

    So the recipe stands in the command for every version. No flag calibrates a score, because the gateway does it.
    """
    hub, family, dtype, arguments = STARTS[name]
    assert without_digest(command_of(MODELS.find(name), version)) == [
        *["vllm", "serve", hub, "--host", "127.0.0.1", "--port", "8001"],
        *["--served-model-name", name, hub, f"recipe:{family}"],
        *["--runner", "pooling", "--dtype", dtype, "--max-model-len", "8192", *SIZES, *arguments],
    ]


@pytest.mark.parametrize(
    ("version", "tied"), [("0.32.0", ',"text_config":{"tie_word_embeddings":true}'), ("0.33.0", ""), ("0.34.0", "")]
)
def test_an_engine_that_sees_is_started_with_the_official_limits(version: str, tied: str) -> None:
    assert without_digest(command_of(MODELS.find("Qwen3-VL-Reranker-2B"), version)) == [
        *["vllm", "serve", "Qwen/Qwen3-VL-Reranker-2B", "--host", "127.0.0.1", "--port", "8001", "--served-model-name"],
        *["Qwen3-VL-Reranker-2B", "Qwen/Qwen3-VL-Reranker-2B", "recipe:qwen3-vl-reranker"],
        *["--runner", "pooling", "--dtype", "bfloat16", "--max-model-len", "8192", *SIZES, "--hf-overrides"],
        '{"architectures":["Qwen3VLForSequenceClassification"],'
        f'"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true{tied}}}',
        *["--chat-template", str(TEMPLATES / "qwen3_vl_reranker.jinja"), "--enable-prefix-caching"],
        "--mm-processor-kwargs",
        '{"images_kwargs":{"min_pixels":4096,"max_pixels":1843200},'
        '"videos_kwargs":{"do_sample_frames":false,"do_resize":false}}',
        *["--media-io-kwargs", '{"video":{"fps":30,"max_frames":768}}'],
        *["--limit-mm-per-prompt", '{"image":8,"video":2}'],
    ]


def test_the_marker_changes_with_all_that_makes_a_score() -> None:
    model = MODELS.find("Qwen3-Reranker-4B")
    marks = [
        marker(command_of(changed, version, extra=extra))
        for changed, version, extra in (
            (model, "0.32.0", []),
            (model, "0.33.0", []),
            (model, "0.32.0", ["--dtype", "float32"]),
            (msgspec.structs.replace(model, dtype="float16"), "0.32.0", []),
            (msgspec.structs.replace(model, hf_overrides={}), "0.32.0", []),
            (msgspec.structs.replace(model, template="qwen3_vl_reranker.jinja"), "0.32.0", []),
            (msgspec.structs.replace(model, vllm_args=()), "0.32.0", []),
        )
    ]
    assert len(set(marks)) == len(marks)
    assert all(re.fullmatch(r"recipe:qwen3-reranker:[0-9a-f]{12}", mark) for mark in marks)


def test_the_marker_stays_where_the_sizes_change() -> None:
    model = MODELS.find("qwen3-0.6b")
    assert marker(command_of(model, "0.32.0", GPU)) == marker(command_of(model, "0.32.0", CPU))


@pytest.mark.parametrize(
    "flag",
    [
        *["--hf-overrides={}", "--hf_overrides", "--hf-overrides.method", "--hf-over", "--pooler-config"],
        *["--override-pooler-config", "--convert", "--runner", "--task", "--chat-template", "--revision"],
        *["--quantization", "-q", "-qfp8", "--mm-processor-kwargs", "--media-io-kwargs", "--config", "--tokenizer"],
    ],
)
def test_an_engine_whose_recipe_the_user_changes_has_no_marker(flag: str) -> None:
    assert marker(command_of(MODELS.find("qwen3-4b"), "0.32.0", extra=[flag, "1"])) == "Qwen/Qwen3-Reranker-4B"


def _value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_a_cross_encoder_gets_no_prompt_from_anybody() -> None:
    command = command_of(MODELS.find("bge-reranker-v2-m3"), "0.32.0")
    assert not {"--chat-template", "--hf-overrides", "--enable-prefix-caching"} & set(command)


def test_on_a_cpu_the_cache_is_given_in_bytes() -> None:
    command = command_of(MODELS.find("qwen3-0.6b"), "0.32.0", CPU)
    assert _value(command, "--kv-cache-memory-bytes") == "67108864"
    assert "--gpu-memory-utilization" not in command
    assert "VLLM_CPU_KVCACHE_SPACE" not in engine_environment({})


def test_a_revision_and_further_arguments_are_passed_on_and_come_last() -> None:
    model = msgspec.structs.replace(MODELS.find("bge-m3"), revision="abc")
    command = command_of(model, "0.32.0", extra=["--dtype", "float32"])
    assert command[:5] == ["vllm", "serve", "BAAI/bge-reranker-v2-m3", "--revision", "abc"]
    assert command[-2:] == ["--dtype", "float32"]


@pytest.mark.parametrize(
    ("name", "version", "needed"),
    [("Qwen3-VL-Reranker-2B", "0.19.1", "0.20.0"), ("Qwen3-Reranker-4B-FP8", "0.16.0", "0.18.0")],
)
def test_a_version_that_would_score_wrongly_is_refused(name: str, version: str, needed: str) -> None:
    with pytest.raises(LaunchError, match=f"{name} needs vLLM {needed} or later, and this is {version}"):
        command_of(MODELS.find(name), version)


def test_an_engine_does_not_learn_the_gateways_keys() -> None:
    environment = engine_environment({"RERANK_API_KEYS": "secret", "HF_HUB_OFFLINE": "1"})
    assert environment == {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    ("text", "numbers"), [("0.32.0+cpu", (0, 32, 0)), ("0.11.1rc4", (0, 11, 1)), ("v0.33", (0, 33, 0))]
)
def test_versions_as_people_write_them(text: str, numbers: tuple[int, int, int]) -> None:
    assert parse_version(text) == numbers


def test_nonsense_is_no_version() -> None:
    with pytest.raises(LaunchError, match="not a version of vLLM: 'main'"):
        parse_version("main")
