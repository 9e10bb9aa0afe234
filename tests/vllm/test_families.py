"""Every family's score through the gateway and real vLLM equals that of its author's code."""

from collections.abc import Iterator

import pytest

from tests.vllm.families.proofs import BOUND, PROOFS, Running, measure, running_proof
from tests.vllm.families.reference import Authors


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
    assert row.pairs >= 200
    assert row.ours <= BOUND
