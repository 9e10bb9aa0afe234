"""Every family's score through the gateway and real vLLM equals that of its author's code."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import page
from tests.vllm.families.proofs import (
    BOUND,
    INSTRUCTIONS,
    ORDINARY,
    PROOFS,
    ST,
    Proof,
    Row,
    Running,
    lengths_around_the_limit,
    measure,
    running_proof,
)
from tests.vllm.families.recipes import Case
from tests.vllm.families.reference import Authors
from tests.vllm.families.table import HEAD, table
from tests.vllm.provision import PYTHON, REPOSITORY
from tests.vllm.test_wrong_starts import assert_refused

PAGE = "docs/models.md"
# A machine's rounding moves figures below it; those of another prompt are above.
EXACT = 1e-4
# A family by which the gateway is told to read an engine that the launcher started for another; else zerank.
WRONG_FAMILIES = {"zerank": "qwen3-reranker", "cross-encoder": "jina-reranker-m0"}


@pytest.fixture(scope="module")
def authors(provisioned: None) -> Iterator[Authors]:
    with Authors() as authors:
        yield authors


@pytest.fixture(scope="module", params=PROOFS, ids=lambda proof: proof.kind)
def running(request: pytest.FixtureRequest, authors: Authors) -> Iterator[Running]:
    with running_proof(request.param, authors) as running:
        yield running


def test_every_pair_gets_the_authors_score(running: Running) -> None:
    row = measure(running)
    print(table([row]))
    assert row.pairs >= 200
    assert row.ours <= BOUND
    assert_told(row)


def test_an_engine_that_was_started_for_another_family_is_refused(running: Running) -> None:
    proof = running.proof
    wrong = WRONG_FAMILIES.get(proof.family, "zerank")
    assert_refused(running.engine, proof.kind, wrong, f"it was started for the family {proof.family}, not {wrong}")


def assert_told(row: Row) -> None:
    """The page's row has the same count of pairs, and tells the same figures as exact and as wrong."""
    told = next(line for line in page(PAGE).splitlines() if line.startswith(f"| {row.proof.name} |"))
    cells = dict(zip(HEAD, told.strip("| ").split(" | "), strict=True))
    assert cells["pairs"] == str(row.pairs)
    for name, measured in zip(HEAD[-4:], (row.ours, *row.documented), strict=True):
        assert (float(cells[name]) <= EXACT) == (measured <= EXACT), name


@pytest.mark.timeout(600)  # Sentence Transformers is slow to import beside a busy engine
def test_the_references_equal_sentence_transformers_itself(authors: Authors) -> None:
    """Its CrossEncoder is the author's code of some. It obeys control tokens in a text, so that none is tried."""
    asked: list[tuple[Proof, tuple[tuple[str, str], ...], str | None]] = []
    for proof in (proof for proof in PROOFS if proof.author == ST):
        pairs = (*ORDINARY, *lengths_around_the_limit(proof, authors))
        asked += [(proof, pairs, instruction) for instruction in (None, *INSTRUCTIONS[: 1 if proof.instructed else 0])]
    questions = [[str(proof.folder), pairs, proof.max_tokens, wish] for proof, pairs, wish in asked]
    command: list[str | Path] = [PYTHON, "-m", "tests.vllm.families.sentence_transformers_scores"]
    told = subprocess.run(
        command, cwd=REPOSITORY, input=json.dumps(questions), stdout=subprocess.PIPE, text=True, check=True
    )
    for (proof, pairs, wish), scores in zip(asked, json.loads(told.stdout), strict=True):
        cases = [Case(query, document, wish, proof.max_tokens) for query, document in pairs]
        expected = [answer.score for answer in authors.pairs(proof.family, proof.folder, cases)]
        assert scores == pytest.approx(expected, abs=1e-6), proof.name
