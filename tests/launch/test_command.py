"""The exact command line for each range of vLLM versions."""

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

TEXT_OVERRIDES = (
    '{"architectures":["Qwen3ForSequenceClassification"],'
    '"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true}'
)
SERVE_4B = [
    *["vllm", "serve", "Qwen/Qwen3-Reranker-4B", "--host", "127.0.0.1", "--port", "8001"],
    *["--served-model-name", "Qwen3-Reranker-4B", "Qwen/Qwen3-Reranker-4B"],
]
SIZES = ["--dtype", "bfloat16", "--max-model-len", "8192", "--max-num-seqs", "128", "--gpu-memory-utilization", "0.55"]
HERE = Address("127.0.0.1", 8001)
TEMPLATE = ["--chat-template", str(TEMPLATES / "qwen3_reranker.jinja")]


def command_of(model: Model, version: str, plan: Plan = GPU, extra: list[str] | None = None) -> list[str]:
    return vllm_command(model, Vllm("vllm", version, cpu=False), plan, HERE, extra or [])


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (
            ["0.9.2", "0.10.0"],
            [*SERVE_4B, "--task", "score", *SIZES, "--hf-overrides", TEXT_OVERRIDES, "--enable-prefix-caching"],
        ),
        (
            ["0.10.1", "0.12.0", "0.13.0"],
            [*SERVE_4B, "--runner", "pooling", *SIZES, "--hf-overrides", TEXT_OVERRIDES, "--enable-prefix-caching"],
        ),
        (
            ["0.14.0", "0.15.1", "0.32.0", "0.32.0+cpu", "0.33.0"],
            [
                *[*SERVE_4B, "--runner", "pooling", *SIZES, "--hf-overrides", TEXT_OVERRIDES],
                *[*TEMPLATE, "--enable-prefix-caching"],
            ],
        ),
    ],
    ids=["task", "runner", "runner and template"],
)
def test_the_command_fits_the_version(versions: list[str], expected: list[str]) -> None:
    model = MODELS.find("Qwen3-Reranker-4B")
    for version in versions:
        assert command_of(model, version) == expected


def _value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


@pytest.mark.parametrize(
    ("name", "version", "text_config"),
    [
        ("Qwen3-VL-Reranker-2B", "0.32.0", ',"text_config":{"tie_word_embeddings":true}'),
        ("Qwen3-VL-Reranker-8B", "0.20.0", ',"text_config":{"tie_word_embeddings":false}'),
        ("Qwen3-VL-Reranker-8B", "0.33.0", ""),
    ],
)
def test_pictures_get_the_official_limits_and_the_tied_weights_their_work_around(
    name: str, version: str, text_config: str
) -> None:
    command = command_of(MODELS.find(name), version)
    assert _value(command, "--hf-overrides") == (
        '{"architectures":["Qwen3VLForSequenceClassification"],'
        f'"classifier_from_token":["no","yes"],"is_original_qwen3_reranker":true{text_config}}}'
    )
    assert _value(command, "--mm-processor-kwargs") == (
        '{"images_kwargs":{"min_pixels":4096,"max_pixels":1843200},'
        '"videos_kwargs":{"do_sample_frames":false,"do_resize":false}}'
    )
    assert _value(command, "--media-io-kwargs") == '{"video":{"fps":30,"max_frames":768}}'
    assert _value(command, "--chat-template") == str(TEMPLATES / "qwen3_vl_reranker.jinja")


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
