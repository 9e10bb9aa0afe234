"""An engine that was started wrongly answers with status 200 and wrong scores. The gateway gives none of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.vllm.families.models import FamilyModel
from tests.vllm.families.proofs import MODEL, PROOFS, QUERY, SIZES, engine
from tests.vllm.provision import VLLM
from tests.vllm.servers import free_port, gateway, running

PROOF_OF = {proof.kind: proof for proof in PROOFS}
MAX_TOKENS = 512
NOT_TOLD = "nothing tells with which flags it was started"
NO_SCORE = "the engine does not serve /score"
DOCUMENTS = ("Paris is the capital and largest city of France.", "The mitochondrion is the powerhouse of the cell.")


@dataclass(frozen=True, slots=True)
class WrongStart:
    """A server, the family by which the gateway is told to read it, and words of the refusal.

    flags: of `vllm serve`, typed by hand; behind the launcher's own where `by_launcher`.
    """

    kind: str
    family: str
    reason: str
    flags: tuple[str, ...] = ()
    by_launcher: bool = False


SIGMA_5 = ("--pooler-config", '{"logit_sigma":5.0}')
SIGMA_OF_NEMOTRON = ("--pooler-config", '{"logit_sigma":0.2}')
WRONG_STARTS = {
    "zerank's sigma in vLLM's flags too, as documented": WrongStart("zerank", "zerank", NOT_TOLD, SIGMA_5, True),
    "nemotron's temperature in vLLM's flags too": WrongStart(
        "nemotron", "nemotron-rerank", NOT_TOLD, SIGMA_OF_NEMOTRON
    ),
    "mxbai-rerank-v2 without its overrides": WrongStart("mxbai", "mxbai-rerank-v2", NOT_TOLD),
    "an embedding model for a cross-encoder": WrongStart("embedder", "cross-encoder", "tokens where the gateway"),
    "a classifier of two labels for a cross-encoder": WrongStart("two_labels", "cross-encoder", NO_SCORE),
}


@contextlib.contextmanager
def started(start: WrongStart) -> Iterator[str]:
    """URL of the engine."""
    if start.by_launcher:
        with engine(PROOF_OF[start.kind], start.flags, "-wrong") as url:
            yield url
        return
    port = free_port()
    command: list[str | Path] = [
        *(VLLM, "serve", FamilyModel(start.kind).folder(), "--host", "127.0.0.1", "--port", str(port)),
        *("--runner", "pooling", "--max-model-len", str(MAX_TOKENS), *SIZES, *start.flags),
    ]
    url = f"http://127.0.0.1:{port}"
    with running(f"wrong-{start.kind}", command, f"{url}/health"):
        yield url


@pytest.mark.parametrize("start", WRONG_STARTS.values(), ids=WRONG_STARTS)
def test_no_score_of_a_wrong_start_is_given(start: WrongStart) -> None:
    with started(start) as url:
        assert_refused(url, start.kind, start.family, start.reason)


def assert_refused(url: str, kind: str, family: str, reason: str) -> None:
    """The gateway in front of this engine is not ready, says why, and answers no request."""
    folder = str(FamilyModel(kind).folder())
    model = {"family": family, "engine": url, "tokenizer": folder, "max_tokens": MAX_TOKENS}
    with (
        gateway(f"wrong-{kind}-gateway", {MODEL: model}, wait_for="/healthz") as front,
        httpx.Client(base_url=front, timeout=60) as api,
    ):
        ready = api.get("/readyz")
        answer = api.post("/v2/rerank", json={"model": MODEL, "query": QUERY, "documents": DOCUMENTS})
    assert ready.status_code == 503
    assert reason in ready.text
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_untrusted"), answer.text
