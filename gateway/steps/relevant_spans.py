"""`relevant_spans`: each sentence of a returned document is scored as a document of its own, and billed."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from gateway.domain import Notice, Ranked, Ranking, RerankRequest, Score, Span
from gateway.errors import Field
from gateway.scoring.scorer import Scorer
from gateway.steps.sentences import Sentence, join_relevant, sentences

# Sentences scored: of one document, and of one request.
MAX_SENTENCES_PER_DOCUMENT = 256
MAX_SENTENCES = 2048
FIELD = Field("relevant_spans")


class RelevantSpans:
    """Adds the spans of the documents returned, where the request asks for them."""

    async def apply(self, request: RerankRequest, ranking: Ranking, scorer: Scorer) -> Ranking:
        if request.spans is None:
            return ranking
        if scorer.listwise:
            alone = Notice(FIELD, "ignored, this model scores a text only beside the others of its list")
            return replace(ranking, notices=[*ranking.notices, alone])
        started_s = time.perf_counter()
        shown = [result.index for result in ranking.results if not result.refused]
        texts = {index: text for index in shown if isinstance(text := request.documents[index], str)}
        # In a thread, since what was sent may be long.
        split, cut = await asyncio.to_thread(_split, texts)
        ranking = replace(ranking, notices=[*ranking.notices, *_notices(cut, len(shown) - len(texts))])
        pieces = [texts[index][one.start : one.end] for index, found in split.items() for one in found]
        if not pieces:
            return ranking
        # Sentences are short: limits meant for documents would only give the same ones other keys.
        options = replace(request.options, max_tokens_per_doc=None, max_chunks_per_doc=1)
        scored = await scorer.score(request, pieces, options)
        values = iter([one.value if isinstance(one, Score) else 0.0 for one in scored.outcomes])
        spans = {
            index: join_relevant(texts[index], [(one, next(values)) for one in found], request.spans)
            for index, found in split.items()
        }
        scores = [one for one in scored.outcomes if isinstance(one, Score)]
        return replace(
            ranking,
            results=_with_spans(ranking, spans),
            tokens=ranking.tokens + sum(score.tokens for score in scores),
            chunks=ranking.chunks + sum(score.chunks for score in scores),
            pairs=ranking.pairs + len(pieces),
            cached=ranking.cached + scored.cached,
            cached_tokens=ranking.cached_tokens + scored.cached_tokens,
            seconds={**ranking.seconds, "spans": time.perf_counter() - started_s},
        )


def _split(texts: Mapping[int, str]) -> tuple[dict[int, list[Sentence]], int]:
    """Each text's sentences, and how many texts have more than are scored."""
    found: dict[int, list[Sentence]] = {}
    left, cut = MAX_SENTENCES, 0
    for index, text in texts.items():
        found[index], more = sentences(text, min(left, MAX_SENTENCES_PER_DOCUMENT))
        left -= len(found[index])
        cut += more
    return found, cut


def _with_spans(ranking: Ranking, spans: Mapping[int, Sequence[Span]]) -> list[Ranked]:
    return [replace(result, spans=spans.get(result.index, ())) for result in ranking.results]


def _notices(cut: int, with_media: int) -> Iterator[Notice]:
    if cut:
        yield Notice(
            FIELD,
            f"{cut} documents have more sentences than were looked at, the first "
            f"{MAX_SENTENCES_PER_DOCUMENT} of a document and {MAX_SENTENCES} of a request",
        )
    if with_media:
        yield Notice(FIELD, f"none looked for in {with_media} documents with pictures")
