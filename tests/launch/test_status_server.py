"""The launcher's status service tells whoever has the token and nobody else; progress claims what was said."""

import httpx
import pytest

from launch.progress import Progress, progress
from launch.status_server import StatusServer

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
    assert len(shares) == len(LOG) and shares == sorted(shares) and shares[-1] < 1
    assert told[3] == Progress(0.5, "loading weights")
    assert told[6] == Progress(0.86, "capturing graphs")


def test_progress_is_unknown_where_nothing_tells() -> None:
    assert progress(["serving", "Killed"]) is None


@pytest.mark.parametrize("headers", [{}, {"X-Launcher-Token": "wrong"}, {"X-Launcher-Token": ""}], ids=str)
def test_without_the_token_nothing_is_told_or_done(headers: dict[str, str]) -> None:
    asked: list[str] = []
    with StatusServer() as status_server:
        status_server.of(lambda: {"m": {"state": "stopped"}}, asked.append)
        with httpx.Client(base_url=status_server.settings["url"], headers=headers, trust_env=False) as client:
            assert client.get("/engines").status_code == client.post("/engines/m/load").status_code == 403
    assert asked == []


def test_with_the_token_states_are_told_and_a_start_is_asked_for() -> None:
    asked: list[str] = []
    with StatusServer() as status_server:
        status_server.of(lambda: {"a/b": {"state": "stopped"}}, asked.append)
        headers = {"X-Launcher-Token": status_server.settings["token"]}
        with httpx.Client(base_url=status_server.settings["url"], headers=headers, trust_env=False) as client:
            told = client.get("/engines").json()
            assert told["engines"] == {"a/b": {"state": "stopped"}} and isinstance(told["gpus"], list)
            answer = client.post("/engines/a%2Fb/load")
            assert (answer.status_code, answer.json()) == (202, {"name": "a/b", "state": "loading"})
            assert client.post("/engines/c/load").status_code == 404
    assert asked == ["a/b"]
