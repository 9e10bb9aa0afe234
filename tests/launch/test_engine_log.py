"""The lines of an engine's log tell its progress, and the cause of its failure."""

import pytest

from launch.engine_log import Progress, died_of_memory, excerpt, progress

LOG = """
(APIServer pid=1) INFO 11-25 17:38:17 [model.py:733] Resolved architecture: Qwen3ForSequenceClassification
(Worker pid=2) INFO 11-25 17:38:34 [gpu_model_runner.py:68] Starting to load model Qwen/Qwen3-Reranker-4B...
Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00, 44.62it/s]
(Worker pid=2) INFO 11-25 17:38:35 [default_loader.py:501] Loading weights took 0.42 seconds
(EngineCore pid=3) INFO 11-25 17:38:35 [kv_cache_utils.py:2327] GPU KV cache size: 174,720 tokens
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####      | 10/25
(EngineCore pid=3) INFO 11-25 17:38:36 [core.py:402] init engine (profile, create kv cache, warmup model) took 0.71 s
(APIServer pid=1) INFO 11-25 17:38:38 [entry.py:140] Starting vLLM server on http://127.0.0.1:40651
""".strip().splitlines()


def test_progress_grows_line_by_line_and_ends_below_one() -> None:
    told = [progress(LOG[: count + 1]) for count in range(len(LOG))]
    shares = [one.share for one in told if one]
    assert len(shares) == len(LOG)
    assert shares == sorted(shares)
    assert shares[-1] < 1
    assert told[3] == Progress(0.5, "loading weights")
    assert told[6] == Progress(0.86, "capturing graphs")


def test_progress_is_unknown_where_nothing_tells() -> None:
    assert progress(["serving", "Killed"]) is None


@pytest.mark.parametrize(
    "line",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        "ValueError: Free memory on device (3.2/23.6 GiB) on startup is less than desired GPU memory utilization (0.9)",
    ],
)
def test_an_engine_that_died_of_memory_is_recognised(line: str) -> None:
    assert died_of_memory(["INFO loading", line])
    assert not died_of_memory(["INFO loading", "OSError: no such model"])


def test_of_a_failure_the_cause_is_shown_though_vllm_buries_it() -> None:
    lines = [
        "(EngineCore pid=7) ERROR 11-20 18:55:51 [core.py:1510]     raise ValueError(",
        "(EngineCore pid=7) ERROR 11-20 18:55:51 [core.py:1510] ValueError: No available memory for the cache blocks.",
        *[f'  File "x.py", line {number}' for number in range(90)],
        "ValueError: No available memory for the cache blocks.",
        *[f'  File "y.py", line {number}' for number in range(90)],
        "RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    shown = excerpt(lines)
    assert shown[0] == "ValueError: No available memory for the cache blocks."
    assert shown[-1] == lines[-1]
    assert len(shown) <= 12


def test_a_failure_without_named_errors_shows_the_last_lines() -> None:
    assert excerpt(str(number) for number in range(30)) == [str(number) for number in range(18, 30)]
