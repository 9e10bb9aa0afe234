"""The embedded engine ranks questions of our own well enough to try things out, best in English."""

from itertools import count
from math import log2
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.embedded.engine_process import Engine

JUDGED: dict[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("judged.yaml").read_text("utf-8"))


def dcg(ratings: list[int]) -> float:
    """Discounted cumulative gain with exponential gain (Burges et al. 2005)."""
    return sum((2.0**rating - 1) / log2(place + 1) for rating, place in zip(ratings, count(1)))


@pytest.mark.parametrize(("language", "least"), [("english", 0.95), ("chinese", 0.8)])
def test_the_projects_own_questions_are_ranked(engine: Engine, language: str, least: float) -> None:
    ndcg = []
    for question in JUDGED[language]:
        passages = question["passages"][::-1]  # as given, the best comes first
        scores = engine.scores(question["query"], *(text for _, text in passages))
        ranked = [rating for _, (rating, _) in sorted(zip(scores, passages, strict=True), reverse=True)]
        ndcg.append(dcg(ranked[:5]) / dcg(sorted(ranked, reverse=True)[:5]))
    assert sum(ndcg) / len(ndcg) >= least
