"""The path of a request: check limits, choose the model, load media, score pairs, rank, and say what was left out."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from gateway.domain import (
    Blob,
    Content,
    Kind,
    Link,
    Outcome,
    Refused,
    RerankRequest,
    RerankResponse,
    Score,
    Span,
    SpansAsked,
    check,
    rank,
)
from gateway.errors import BadMedia, BadRequest, NotFound
from gateway.media.loader import Media
from gateway.scoring.scorer import Scored, Scorer
from gateway.steps import sentences

WARNED_DOCUMENTS = 10
# Sentences scored for `relevant_spans`: of one document, and of one request.
MAX_WINDOWS_PER_DOCUMENT = 256
MAX_WINDOWS = 2048


@dataclass(frozen=True, slots=True)
class Model:
    """A model as callers see it: its name, what else it is called, and the way to its scores."""

    name: str
    scorer: Scorer
    max_tokens: int
    aliases: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Models:
    """The models by name. A name nobody knows is the default's, unless `strict` says that is an error."""

    models: Sequence[Model]
    default: Model
    strict: bool
    default_media: Model | None = None
    _by_name: Mapping[str, Model] = field(init=False)

    def __post_init__(self) -> None:
        names = {name.lower(): model for model in self.models for name in model.aliases}
        names |= {model.name.lower(): model for model in self.models}
        object.__setattr__(self, "_by_name", names)

    def named(self, name: str) -> Model:
        """Raises NotFound, in Cohere's words."""
        model = self._by_name.get(name.strip().lower())
        if model is None:
            raise NotFound(f"model '{name}' not found, make sure the correct model ID was used")
        return model

    def serving(self, name: str | None, *, media: str = "") -> Model:
        """Whoever answers for this name; media: the first picture's field, where there are any.

        Raises NotFound when `strict` and there is none, BadRequest when whom it names cannot see.
        """
        known = self.named(name) if name and self.strict else self._by_name.get((name or "").strip().lower())
        if not media:
            return known or self.default
        if known is not None and known.scorer.engine.sees:
            return known
        if self.default_media is None:
            raise BadRequest(
                f"invalid request: {media}: the models here read text only, "
                "Qwen3-VL-Reranker reads pictures and videos too (`rerank up --profile vision`)"
            )
        if known is not None:
            raise BadRequest(
                f"invalid request: {media}: {known.name} reads text only, {self.default_media.name} reads pictures too"
            )
        return self.default_media


async def rerank(request: RerankRequest, models: Models, media: Media, *, max_documents: int) -> RerankResponse:
    """The answer to a request. Raises whatever of `errors` stands in its way."""
    check(request, max_documents=max_documents)
    links = request.links
    model = models.serving(request.model, media=_field_of_first(request) if links else "")
    if links:
        scored, query = await _score_loaded(request, model.scorer, media)
    else:
        scored, query = await _score(request, model.scorer), request.query
    outcomes = scored.outcomes
    scores = _scores(request, outcomes)
    _, tokens, chunks, cuts, query_cuts = (sum(column) for column in zip(*scores, strict=True))
    cut_documents = sum(score.cut > 0 for score in scores) if cuts else 0
    response = RerankResponse(
        model=model.name,
        ranking=rank(outcomes, request.top_n),
        tokens=tokens,
        chunks=chunks,
        pairs=len(outcomes),
        cached=scored.cached,
        cached_tokens=scored.cached_tokens,
        cut_documents=cut_documents,
        cut_tokens=cuts,
        warnings=[
            *_ignored(request, model),
            *_cut(scores, cut_documents, cuts, query_cuts),
            *_refused(request, outcomes, len(outcomes) - len(scores)),
        ],
        seconds=scored.seconds,
    )
    if request.spans is None:
        return response
    shown = [index for index, _ in response.ranking if isinstance(outcomes[index], Score)]
    return await _with_spans(response, shown, replace(request, query=query), request.spans, model.scorer)


async def _with_spans(
    response: RerankResponse, shown: Sequence[int], request: RerankRequest, asked: SpansAsked, scorer: Scorer
) -> RerankResponse:
    """The response with the spans of the documents shown: each sentence scored as a document of its own, and billed."""
    started_s = time.perf_counter()
    texts = {index: text for index in shown if isinstance(text := request.documents[index], str)}
    # In a thread, since what was sent may be long.
    windows, cut = await asyncio.to_thread(_windows, texts)
    warnings = []
    if cut:
        warnings.append(
            f"relevant_spans: {cut} documents have more sentences than were looked at, the first "
            f"{MAX_WINDOWS_PER_DOCUMENT} of a document and {MAX_WINDOWS} of a request"
        )
    if len(texts) < len(shown):
        warnings.append(f"relevant_spans: none looked for in {len(shown) - len(texts)} documents with pictures")
    pieces = [texts[index][window.start : window.end] for index in windows for window in windows[index]]
    if not pieces:
        return replace(response, warnings=[*response.warnings, *warnings])
    # Sentences are short: limits meant for documents would only give the same ones other keys.
    reading = replace(request.reading, max_tokens_per_doc=None, max_chunks_per_doc=1)
    scored = await _score(replace(request, documents=pieces, reading=reading), scorer)
    values = iter([one.value if isinstance(one, Score) else 0.0 for one in scored.outcomes])
    found: dict[int, Sequence[Span]] = {
        index: sentences.chosen(
            texts[index],
            [(window, next(values)) for window in windows[index]],
            threshold=asked.threshold,
            max_spans=asked.max_spans,
        )
        for index in windows
    }
    scores = [one for one in scored.outcomes if isinstance(one, Score)]
    return replace(
        response,
        tokens=response.tokens + sum(score.tokens for score in scores),
        chunks=response.chunks + sum(score.chunks for score in scores),
        pairs=response.pairs + len(pieces),
        cached=response.cached + scored.cached,
        cached_tokens=response.cached_tokens + scored.cached_tokens,
        warnings=[*response.warnings, *warnings],
        seconds={**response.seconds, "spans": time.perf_counter() - started_s},
        spans=found,
    )


def _windows(texts: Mapping[int, str]) -> tuple[dict[int, list[sentences.Window]], int]:
    """Each text's sentences, and how many texts have more than are looked at."""
    windows: dict[int, list[sentences.Window]] = {}
    left, cut = MAX_WINDOWS, 0
    for index, text in texts.items():
        windows[index], more = sentences.windows(text, min(left, MAX_WINDOWS_PER_DOCUMENT))
        left -= len(windows[index])
        cut += more
    return windows, cut


async def _score(request: RerankRequest, scorer: Scorer) -> Scored:
    return await scorer.score(
        request.query, request.documents, request.reading, priority=request.priority, fresh=request.fresh
    )


async def _score_loaded(request: RerankRequest, scorer: Scorer, media: Media) -> tuple[Scored, Content]:
    """As `_score`, with every link loaded first, each once; a document whose picture cannot be had is refused.

    With it the query as it was scored.
    """
    started_s = time.perf_counter()
    loaded = await _loaded(request.links, media)
    query = _resolved(request.query, loaded)
    if isinstance(query, Refused):
        raise BadRequest(f"invalid request: query{_where(request.query, query)}: {query.reason}")
    documents = [_resolved(document, loaded) for document in request.documents]
    readable = [document for document in documents if not isinstance(document, Refused)]
    seconds = {"media": time.perf_counter() - started_s}
    if not readable:
        return Scored([one for one in documents if isinstance(one, Refused)], 0, 0, seconds), query
    scored = await _score(replace(request, query=query, documents=readable), scorer)
    outcomes = iter(scored.outcomes)
    all_scored = replace(
        scored,
        outcomes=[one if isinstance(one, Refused) else next(outcomes) for one in documents],
        seconds=seconds | scored.seconds,
    )
    return all_scored, query


async def _loaded(links: Sequence[Link], media: Media) -> Mapping[tuple[Kind, str], Blob | BadMedia]:
    """Each distinct picture and video, loaded and hashed once, however many documents it stands in."""
    kinds: dict[str, set[Kind]] = {}
    for link in links:
        kinds.setdefault(link.url, set()).add(link.kind)

    async def load(url: str) -> dict[tuple[Kind, str], Blob | BadMedia]:
        try:
            data = await media.load(url)
        except BadMedia as reason:
            return {(kind, url): reason for kind in kinds[url]}
        return {(kind, url): await asyncio.to_thread(Blob, kind, data) for kind in kinds[url]}

    found: dict[tuple[Kind, str], Blob | BadMedia] = {}
    for one in await asyncio.gather(*map(load, kinds)):
        found |= one
    return found


def _resolved(content: Content, loaded: Mapping[tuple[Kind, str], Blob | BadMedia]) -> Content | Refused:
    """The content with bytes in place of links, or why it has none."""
    if isinstance(content, str):
        return content
    parts: list[str | Link | Blob] = []
    for place, part in enumerate(content):
        found = loaded[part.kind, part.url] if isinstance(part, Link) else part
        if isinstance(found, BadMedia):
            return Refused(str(found), place)
        parts.append(found)
    return tuple(parts)


def _where(content: Content, refused: Refused) -> str:
    """The field at fault, as this caller wrote it."""
    part = content[refused.part] if refused.part is not None and not isinstance(content, str) else None
    return part.where if isinstance(part, Link) else ""


def _field_of_first(request: RerankRequest) -> str:
    """Where the first picture or video stands, as the caller wrote it."""
    fields = [("query", request.query), *((f"documents[{i}]", one) for i, one in enumerate(request.documents))]
    return next(
        where + part.where
        for where, content in fields
        if not isinstance(content, str)
        for part in content
        if isinstance(part, Link)
    )


def _scores(request: RerankRequest, outcomes: Sequence[Outcome]) -> list[Score]:
    """What was scored. Raises BadRequest for what was refused if the caller is strict, or if nothing is left."""
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    if len(scores) == len(outcomes):
        return scores
    refused = [(index, one) for index, one in enumerate(outcomes) if isinstance(one, Refused)]
    # The query stands in every pair: what is wrong with it is wrong with all, and no ranking is left.
    for _, one in refused:
        if one.in_query:
            raise BadRequest(f"invalid request: query{_where(request.query, one)}: {one.reason}")
    if request.strict or not scores:
        index, one = refused[0]
        raise BadRequest(f"documents[{index}]{_where(request.documents[index], one)}: {one.reason}")
    return scores


def _ignored(request: RerankRequest, model: Model) -> Iterator[str]:
    if request.reading.instruction and not model.scorer.engine.takes_instruction:
        yield f"instruction: ignored, {model.name} takes none"


def _cut(scores: Sequence[Score], documents: int, tokens: int, query_tokens: int) -> Iterator[str]:
    if query_tokens:
        longest = max(score.query_cut for score in scores)
        yield f"query: cut to half of the model's context, {longest} tokens were not read"
    if tokens:
        yield f"documents: {documents} of {len(scores)} were cut, {tokens} tokens were not read"


def _refused(request: RerankRequest, outcomes: Sequence[Outcome], count: int) -> Iterator[str]:
    if count == 0:
        return
    refused = ((index, one) for index, one in enumerate(outcomes) if isinstance(one, Refused))
    for index, one in islice(refused, WARNED_DOCUMENTS):
        yield f"documents[{index}]{_where(request.documents[index], one)}: not scored, {one.reason}"
    if count > WARNED_DOCUMENTS:
        yield f"documents: {count - WARNED_DOCUMENTS} more were not scored"
