"""Test of the test kit: vLLM gives the official recipe's score for the official recipe's token ids."""

import httpx

from tests.vllm.conftest import Bench
from tests.vllm.corpus import PAIRS
from tests.vllm.reference import Case
from tests.vllm.servers import MAX_TOKENS, MODEL
from tests.vllm.test_scores import TOLERANCE


def test_vllm_scores_the_official_token_ids_as_transformers_does(bench: Bench) -> None:
    expected = bench.reference([Case(*pair, max_tokens=MAX_TOKENS) for pair in PAIRS])
    body = {"model": MODEL, "input": [answer.ids for answer in expected]}
    response = httpx.post(f"{bench.engine.url}/classify", json=body, timeout=120).raise_for_status()
    scores = [item["probs"][0] for item in response.json()["data"]]
    worst = max(abs(score - answer.score) for score, answer in zip(scores, expected, strict=True))
    assert worst <= TOLERANCE[bench.engine.model.dtype]
    assert max(scores) - min(scores) > 0.8  # among equal scores a wrong score would not show
