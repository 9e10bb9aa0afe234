"""The same requests to the same vLLM model in four ways, each compared with the official recipe.

`python -m tests.vllm.side_by_side` starts the servers and prints the table of the README.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.vllm.corpus import FORGED_DOCUMENTS, ORDINARY_DOCUMENTS, QUERIES
from tests.vllm.provision import REPOSITORY
from tests.vllm.reference import Case, Reference
from tests.vllm.servers import LOGS, MAX_TOKENS, MODEL, Engine, gateway, gateway_model, vllm
from tests.vllm.tiny_model import TinyModel

OUR_TEMPLATE = REPOSITORY / "launch" / "templates" / "qwen3_reranker.jinja"
ORDINARY_QUERIES = [query for query in QUERIES if "<|" not in query]

RAW = "vLLM's `/rerank`, no chat template"
BARE_NEWLINES = "vLLM's `/rerank`, a chat template that ends in two bare newlines"
OURS = "vLLM's `/rerank`, our `launch/templates/qwen3_reranker.jinja`"
GATEWAY = "this gateway"

# Requests by subject: queries, documents, and fields without which vLLM's own endpoint refuses them.
SUBJECTS: Mapping[str, tuple[Sequence[str], Sequence[str], Mapping[str, object]]] = {
    "ordinary texts": (ORDINARY_QUERIES, ORDINARY_DOCUMENTS, {}),
    "control tokens in a document": (ORDINARY_QUERIES, FORGED_DOCUMENTS, {}),
    "longer than the context": (ORDINARY_QUERIES, ("a long story " * 1500,), {"truncate_prompt_tokens": -1}),
}


@dataclass(frozen=True, slots=True)
class Row:
    road: str
    differences: Sequence[float]
    """The largest |score - official score| for each of SUBJECTS."""


def measure(raw: Engine, reference: Reference) -> list[Row]:
    """One row for each way, with the model of `raw`, a vLLM without a chat template."""
    with (
        vllm("bare-newlines", raw.model, template_with_bare_newlines()) as bare_newlines,
        vllm("our-template", raw.model, OUR_TEMPLATE) as ours,
        gateway("side-by-side", {MODEL: gateway_model(raw)}) as through_us,
    ):
        roads = {RAW: raw.url, BARE_NEWLINES: bare_newlines.url, OURS: ours.url, GATEWAY: through_us}
        return [
            Row(road, [worst_difference(url, reference, *subject) for subject in SUBJECTS.values()])
            for road, url in roads.items()
        ]


def template_with_bare_newlines() -> Path:
    """A template like the example in vLLM's repository. Jinja drops its last newline, so the prompt ends in one."""
    source = OUR_TEMPLATE.read_text()
    assert source.endswith('{{ "\\n\\n" }}')
    broken = LOGS / "bare-newlines.jinja"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text(source.removesuffix('{{ "\\n\\n" }}') + "\n\n")
    return broken


def worst_difference(
    url: str, reference: Reference, queries: Sequence[str], documents: Sequence[str], fields: Mapping[str, object]
) -> float:
    differences: list[float] = []
    for query in queries:
        expected = reference([Case(query, document, max_tokens=MAX_TOKENS) for document in documents])
        body = {"query": query, "documents": documents, **fields}
        response = httpx.post(f"{url}/v2/rerank", json=body, timeout=120).raise_for_status()
        differences += [
            abs(result["relevance_score"] - expected[result["index"]].score) for result in response.json()["results"]
        ]
    return max(differences)


def table(rows: Sequence[Row]) -> str:
    lines = [["", *SUBJECTS], ["---", *("---:" for _ in SUBJECTS)]]
    lines += [[row.road, *map(_rounded, row.differences)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rounded(difference: float) -> str:
    return f"{difference:.2f}" if difference >= 0.01 else f"{difference:.0e}".replace("e-0", "e-")


if __name__ == "__main__":
    tiny = TinyModel(seed=1)
    with vllm("raw", tiny) as engine, Reference(tiny.folder()) as official:
        print(table(measure(engine, official)))
