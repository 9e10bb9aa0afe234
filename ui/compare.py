"""BM25 beside the engine: the same texts ranked by shared words and by meaning, and their moves between the two."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import bm25s

_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
# Units of the drawing, which is stretched to the height of the two lists.
_WIDTH, _ROW = 100, 10


class Place(NamedTuple):
    """Place of a text in a list. `item` is its index in the order given, `moved` its ranks above its other place."""

    item: int
    rank: int
    score: float
    moved: int


def bm25(query: str, texts: Sequence[str]) -> list[float]:
    """Scores by Lucene's BM25, over words, or over pairs of characters in scripts without spaces."""
    corpus = [words(text) for text in texts]
    asked = words(query)
    if not asked or not any(corpus):
        return [0.0] * len(texts)
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    known = {word for text in corpus for word in text}
    asked = [word for word in asked if word in known]
    return [float(score) for score in index.get_scores(asked)] if asked else [0.0] * len(texts)


def places(scores: Sequence[float], others: Sequence[float]) -> list[Place]:
    """Places by `scores`, best first, each with its move from the place by `others`. Ties keep the order given."""
    before = {index: rank for rank, index in enumerate(_order(others), 1)}
    return [Place(index, rank, scores[index], before[index] - rank) for rank, index in enumerate(_order(scores), 1)]


def drawn(right: Iterable[Place]) -> str:
    """SVG with a line for each text from its rank in the left list to that in the right one. It holds numbers only."""
    lines = [
        f'<line x1="0" y1="{_middle(place.rank + place.moved)}" x2="{_WIDTH}" y2="{_middle(place.rank)}" '
        f'class="{"up" if place.moved > 0 else "down" if place.moved < 0 else "same"}"/>'
        for place in right
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_ROW * len(lines)}" '
        f'preserveAspectRatio="none" aria-hidden="true">{"".join(lines)}</svg>'
    )


def words(text: str) -> list[str]:
    """Words in lower case. Chinese, Japanese and Korean become overlapping pairs of characters, as Lucene has them."""
    found = []
    for word in _WORD.findall(text.lower()):
        end = 0
        for run in _CJK.finditer(word):
            found += [part for part in (word[end : run.start()],) if part]
            found += [run[0][at : at + 2] for at in range(max(1, len(run[0]) - 1))]
            end = run.end()
        found += [part for part in (word[end:],) if part]
    return found


def _order(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def _middle(rank: int) -> int:
    return _ROW * rank - _ROW // 2
