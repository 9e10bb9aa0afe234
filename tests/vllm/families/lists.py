"""The proof of jina-reranker-v3, which scores a whole list at once."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.vllm.corpus import FORGED_DOCUMENTS, ORDINARY_DOCUMENTS
from tests.vllm.families.proofs import (
    FOREIGN_DOCUMENTS,
    INSTRUCTIONS,
    MODEL,
    ORDINARY_QUERIES,
    QUERY,
    Proof,
    Row,
    engine,
    settings,
    words,
)
from tests.vllm.families.recipes import JinaV3
from tests.vllm.families.reference import Authors
from tests.vllm.servers import gateway

PROOF = Proof("jina-reranker-v3", "jina-reranker-v3", "jina_v3", 8192, "jina-reranker-v3's modeling.py", True)
CUT_AT = JinaV3.document_tokens


@dataclass(frozen=True, slots=True)
class Lists:
    """The engine, the gateway in front of it, and the author's recipe."""

    engine: str
    api: httpx.Client
    authors: Authors

    def expected(self, query: str, documents: Sequence[str], instruction: str | None = None) -> list[float]:
        return self.authors.list_of(PROOF.folder, query, documents, instruction)

    def scores(self, query: str, documents: Sequence[str], **fields: object) -> list[float]:
        body = {"model": MODEL, "query": query, "documents": list(documents), **fields}
        response = self.api.post("/v2/rerank", json=body)
        assert response.status_code == 200, response.text[:500]
        return in_order(response.json())

    def difference(self, query: str, documents: Sequence[str], instruction: str | None = None) -> float:
        """Largest |score - author's score| of a list."""
        fields = {"instruction": instruction} if instruction else {}
        return worst(self.scores(query, documents, **fields), self.expected(query, documents, instruction))

    def difference_by_vllm(self, query: str, documents: Sequence[str]) -> float:
        """The same for vLLM's own /rerank, as its documentation says."""
        body = {"query": query, "documents": list(documents)}
        response = httpx.post(f"{self.engine}/rerank", json=body, timeout=120).raise_for_status()
        cosines = in_order(response.json())
        return worst([(1 + cosine) / 2 for cosine in cosines], self.expected(query, documents))


@contextlib.contextmanager
def running_lists(authors: Authors) -> Iterator[Lists]:
    with (
        engine(PROOF) as url,
        gateway("families-jina-v3-gateway", {MODEL: settings(PROOF, url)}) as front,
        httpx.Client(base_url=front, timeout=120) as api,
    ):
        yield Lists(url, api, authors)


def measure_lists(lists: Lists) -> Row:
    forged = (*FORGED_DOCUMENTS, *FOREIGN_DOCUMENTS)
    longer = [*(words(CUT_AT + over) for over in (-5, 0, 5)), "yes"]
    asked: list[tuple[str, Sequence[str], str | None]] = [
        *((query, ORDINARY_DOCUMENTS, None) for query in ORDINARY_QUERIES),
        *((QUERY, ORDINARY_DOCUMENTS[:5], instruction) for instruction in INSTRUCTIONS),
        *((QUERY, documents, None) for documents in (forged, longer)),
    ]
    ours = max(lists.difference(*one) for one in asked)
    ordinary = max(lists.difference_by_vllm(query, ORDINARY_DOCUMENTS) for query in ORDINARY_QUERIES)
    others = [lists.difference_by_vllm(QUERY, documents) for documents in (forged, longer)]
    return Row(PROOF, sum(len(documents) for _, documents, _ in asked), ours, (ordinary, others[0], others[1]))


def in_order(answer: Any) -> list[float]:
    return [one["relevance_score"] for one in sorted(answer["results"], key=lambda one: one["index"])]


def worst(found: Sequence[float], expected: Sequence[float]) -> float:
    return max(abs(score - wanted) for score, wanted in zip(found, expected, strict=True))
