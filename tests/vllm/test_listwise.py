"""jina-reranker-v3 scores a whole list at once: the gateway's scores equal its author's, list by list."""

from collections.abc import Iterator

import pytest

from tests.vllm.corpus import ORDINARY_DOCUMENTS
from tests.vllm.families.lists import Lists, measure_lists, running_lists, worst
from tests.vllm.families.proofs import BOUND, MODEL, QUERY
from tests.vllm.families.reference import Authors
from tests.vllm.families.table import table
from tests.vllm.test_families import assert_told


@pytest.fixture(scope="module")
def lists(provisioned: None) -> Iterator[Lists]:
    with Authors() as authors, running_lists(authors) as lists:
        yield lists


def test_every_document_of_a_list_gets_the_authors_score(lists: Lists) -> None:
    row = measure_lists(lists)
    print(table([row]))
    assert row.pairs >= 200
    assert row.ours <= BOUND
    assert_told(row)


def test_the_order_of_a_list_is_part_of_its_scores(lists: Lists) -> None:
    turned = ORDINARY_DOCUMENTS[::-1]
    assert worst(lists.expected(QUERY, ORDINARY_DOCUMENTS), lists.expected(QUERY, turned)[::-1]) > 0.1
    assert lists.difference(QUERY, ORDINARY_DOCUMENTS) <= BOUND
    assert lists.difference(QUERY, turned) <= BOUND


def test_a_full_block_of_125_documents_is_exact_and_more_are_refused(lists: Lists) -> None:
    documents = [f"{place}: {ORDINARY_DOCUMENTS[place % 20][:40]}" for place in range(126)]
    assert lists.difference(QUERY, documents[:125]) <= BOUND
    assert lists.difference_by_vllm(QUERY, documents) > 0.01  # the author reads two blocks
    answer = lists.api.post("/v2/rerank", json={"model": MODEL, "query": QUERY, "documents": documents})
    assert (answer.status_code, answer.json()["code"]) == (400, "too_many_documents")
