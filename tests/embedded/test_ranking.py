"""The embedded engine ranks questions of our own well enough to try things out, in English and in Chinese."""

from itertools import count
from math import log2
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.embedded.engine_process import Engine

HERE = Path(__file__).parent
JUDGED: dict[str, list[dict[str, Any]]] = yaml.safe_load((HERE / "judged.yaml").read_text("utf-8"))
JUDGED_ZH: list[dict[str, Any]] = yaml.safe_load((HERE / "judged_zh.yaml").read_text("utf-8"))


def dcg(ratings: list[int]) -> float:
    """Discounted cumulative gain with exponential gain (Burges et al. 2005)."""
    return sum((2.0**rating - 1) / log2(place + 1) for rating, place in zip(ratings, count(1)))


@pytest.mark.parametrize(("language", "least"), [("english", 0.99), ("chinese", 0.95)])
def test_the_projects_own_questions_are_ranked(engine: Engine, language: str, least: float) -> None:
    ndcg = []
    for question in JUDGED[language]:
        passages = question["passages"][::-1]  # as given, the best comes first
        scores = engine.scores(question["query"], *(text for _, text in passages))
        ranked = [rating for _, (rating, _) in sorted(zip(scores, passages, strict=True), reverse=True)]
        ndcg.append(dcg(ranked[:5]) / dcg(sorted(ranked, reverse=True)[:5]))
    assert sum(ndcg) / len(ndcg) >= least


def test_chinese_questions_find_their_answers_among_passages_that_share_their_words(engine: Engine) -> None:
    assert len(JUDGED_ZH) >= 24
    found = [_answer_is_first(engine, question) for question in JUDGED_ZH]
    assert sum(found) >= 0.75 * len(found)


def _answer_is_first(engine: Engine, question: dict[str, Any]) -> bool:
    assert len(question["passages"]) >= 7
    answer, *others = engine.scores(question["query"], question["answer"], *question["passages"])
    return answer > max(others)
