"""The memory plan fits into the free memory, or the model is refused."""

import pytest

from launch import catalogue
from launch.hardware import Memory
from launch.memory import (
    GIB,
    DoesNotFitError,
    Plan,
    alternatives,
    needed_gib,
    plan,
    shares,
    step_downs,
)

MODELS = catalogue.read()


def gpu(total_gib: float, free_gib: float | None = None) -> Memory:
    return Memory("cuda", int(total_gib * GIB), int((free_gib or total_gib * 0.98) * GIB))


@pytest.mark.parametrize(
    ("name", "memory", "expected"),
    [
        # A large GPU is not taken whole: 256k tokens of cache are all that helps.
        ("Qwen3-Reranker-4B", gpu(140), Plan(8192, 256, gpu_memory_utilization=0.33)),
        ("Qwen3-Reranker-4B", gpu(24), Plan(8192, 172, gpu_memory_utilization=0.9)),
        ("Qwen3-Reranker-0.6B", gpu(8), Plan(8192, 74, gpu_memory_utilization=0.9)),
        # Somebody else is using half of it.
        ("Qwen3-Reranker-0.6B", gpu(24, 12), Plan(8192, 144, gpu_memory_utilization=0.46)),
        # Room for the weights and half the context.
        ("Qwen3-Reranker-4B", gpu(12, 11.2), Plan(4096, 10, gpu_memory_utilization=0.85)),
        ("bge-reranker-v2-m3", gpu(24), Plan(8192, 256, gpu_memory_utilization=0.13)),
    ],
)
def test_the_plan_for_a_gpu(name: str, memory: Memory, expected: Plan) -> None:
    assert plan(MODELS.find(name), memory) == expected


def test_the_plan_for_a_cpu_gives_the_cache_in_bytes() -> None:
    memory = Memory("cpu", 32 * GIB, 22 * GIB)
    assert plan(MODELS.find("Qwen3-Reranker-0.6B"), memory) == Plan(8192, 64, kv_cache_bytes=32_768 * 114_688)


@pytest.mark.parametrize("free_gib", [4, 6, 8, 11, 15, 22, 40, 79, 140])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_no_plan_asks_for_more_than_is_free(free_gib: int, device: str) -> None:
    memory = Memory(device, int(free_gib * GIB / 0.95), free_gib * GIB)
    for model in (model for model in MODELS.models if model.engine == "vllm"):
        try:
            made = plan(model, memory)
        except DoesNotFitError:
            assert needed_gib(model) > free_gib * 0.7, model.name
            continue
        assert min(1024, model.max_tokens) <= made.max_model_len <= model.max_tokens, model.name
        used = made.kv_cache_bytes or int((made.gpu_memory_utilization or 0) * memory.total_bytes)
        assert model.weights_bytes < used <= memory.free_bytes or device == "cpu", model.name
        assert made.max_model_len * model.kv_bytes_per_token <= used, model.name


def test_what_does_not_fit_is_refused_and_a_smaller_model_named() -> None:
    model, memory = MODELS.find("Qwen3-Reranker-8B"), gpu(12)
    with pytest.raises(DoesNotFitError, match=r"Qwen3-Reranker-8B needs about 18.4 GiB; 11.8 GiB are free"):
        plan(model, memory)
    names = [other.name for other in alternatives(model, MODELS.models, memory)]
    assert names[:3] == ["Qwen3-Reranker-4B", "Qwen3-Reranker-4B-seq-cls", "Qwen3-Reranker-8B-AWQ"]
    assert "Qwen3-VL-Reranker-2B" not in names


def test_each_step_down_asks_for_less() -> None:
    first = Plan(8192, 256, gpu_memory_utilization=0.9)
    assert step_downs(first) == (
        Plan(4096, 128, gpu_memory_utilization=0.9),
        Plan(2048, 64, gpu_memory_utilization=0.77),
    )


def test_a_short_context_is_not_stepped_down_to_nothing() -> None:
    assert [smaller.max_model_len for smaller in step_downs(Plan(1024, 8, 0.9))] == [1024, 1024]


@pytest.mark.parametrize("total_gib", [32, 40, 48, 80, 140])
def test_two_engines_fit_one_gpu_together(total_gib: float) -> None:
    both = [MODELS.find("Qwen3-Reranker-4B"), MODELS.find("Qwen3-VL-Reranker-8B")]
    whole = gpu(total_gib)
    plans = [plan(model, part) for model, part in zip(both, shares(both, whole), strict=True)]
    taken = [one.gpu_memory_utilization or 1 for one in plans]
    assert sum(taken) * whole.total_bytes <= whole.free_bytes
    for model, share in zip(both, taken, strict=True):
        assert share * whole.total_bytes > model.weights_bytes + 2 * GIB
    assert [one.max_model_len for one in plans] == [8192, 10240] or total_gib < 40


def test_two_engines_that_do_not_fit_together_are_refused_with_figures() -> None:
    both = [MODELS.find("Qwen3-Reranker-4B"), MODELS.find("Qwen3-VL-Reranker-8B")]
    with pytest.raises(
        DoesNotFitError, match=r"4B and Qwen3-VL-Reranker-8B together need about 30\.\d GiB; 23\.5 GiB are"
    ):
        shares(both, gpu(24))
