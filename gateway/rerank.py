"""The path of a request: check it, choose the model, load media, score pairs, rank, take the steps."""

import time
from collections.abc import Sequence
from dataclasses import replace

from gateway.domain import Outcome, Ranked, Ranking, Refused, RerankRequest, Score, links_of
from gateway.errors import BadRequest, EngineError, Field, Unreadable
from gateway.media.loader import Media
from gateway.media.resolve import resolve
from gateway.models import Model, Models
from gateway.notices import field_of, notices
from gateway.scoring.scorer import Scored, Scorer
from gateway.steps import STEPS


async def rerank(request: RerankRequest, models: Models, media: Media, *, max_documents: int) -> Ranking:
    """The answer to a request. Raises whatever of `errors` stands in its way."""
    check(request, max_documents=max_documents)
    first = _first_media(request)
    model = models.seeing(request.model, first) if first else models.serving(request.model)
    try:
        if first:
            loaded, scored = await _score_with_media(request, model.scorer, media)
        else:
            loaded, scored = request, await model.scorer.score(request, request.documents)
        ranking = _ranking(request, model, scored)
        for step in STEPS:
            ranking = await step.apply(loaded, ranking, model.scorer)
    except EngineError as error:
        error.model = model.name
        raise
    return ranking


def check(request: RerankRequest, *, max_documents: int) -> None:
    """The limits that hold in every dialect. Raises BadRequest."""
    if isinstance(request.query, str) and not request.query.strip():
        raise BadRequest("must not be empty or only whitespace", code="query_empty", field=Field("query"))
    if not request.documents:
        raise BadRequest("must not be empty", code="documents_empty", field=Field("documents"))
    if len(request.documents) > max_documents:
        raise BadRequest(
            f"{len(request.documents)} given, at most {max_documents} are allowed",
            code="too_many_documents",
            field=Field("documents"),
        )


def rank(outcomes: Sequence[Outcome], top_n: int | None) -> list[Ranked]:
    """Best first, ties by index, refused documents last with 0.0. `top_n` None keeps all."""
    values = [outcome.value if isinstance(outcome, Score) else -1.0 for outcome in outcomes]
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)  # stable: ties keep the index order
    return [
        Ranked(index, value) if (value := values[index]) >= 0.0 else Ranked(index, 0.0, True) for index in order[:top_n]
    ]


async def _score_with_media(request: RerankRequest, scorer: Scorer, media: Media) -> tuple[RerankRequest, Scored]:
    """The request with its media loaded, and the scores; a document whose media cannot be had is refused."""
    started_s = time.perf_counter()
    loaded, refused = await resolve(request, media)
    seconds = {"media": time.perf_counter() - started_s}
    readable = [document for index, document in enumerate(loaded.documents) if index not in refused]
    if not readable:
        return loaded, Scored(list(refused.values()), 0, 0, seconds)
    scored = await scorer.score(loaded, readable)
    outcomes = iter(scored.outcomes)
    merged = [refused[index] if index in refused else next(outcomes) for index in range(len(loaded.documents))]
    return loaded, replace(scored, outcomes=merged, seconds=seconds | scored.seconds)


def _ranking(request: RerankRequest, model: Model, scored: Scored) -> Ranking:
    scores = _scores(request, scored.outcomes)
    cut = [score.cut for score in scores if score.cut]
    return Ranking(
        request=request,
        model=model.name,
        results=rank(scored.outcomes, request.top_n),
        tokens=sum(score.tokens for score in scores),
        chunks=sum(score.chunks for score in scores),
        pairs=len(scored.outcomes),
        cached=scored.cached,
        cached_tokens=scored.cached_tokens,
        cut_documents=len(cut),
        cut_tokens=sum(cut),
        notices=list(notices(request, model, scored.outcomes, scored.doubt)),
        seconds=scored.seconds,
    )


def _scores(request: RerankRequest, outcomes: Sequence[Outcome]) -> list[Score]:
    """The documents that were scored. Raises Unreadable if one was refused to a strict caller, or if all were."""
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    if len(scores) == len(outcomes):
        return scores
    refused = [(index, one) for index, one in enumerate(outcomes) if isinstance(one, Refused)]
    # The query stands in every pair: what is wrong with it is wrong with all, and no ranking is left.
    index, fatal = next((found for found in refused if found[1].in_query), refused[0])
    if fatal.in_query or request.strict or not scores:
        raise Unreadable(fatal.reason, code=fatal.code, field=field_of(request, index, fatal))
    return scores


def _first_media(request: RerankRequest) -> Field | None:
    """The field of the first picture or video, if there is one."""
    for link in links_of(request.query):
        return Field("query", None, link.where)
    for index, document in enumerate(request.documents):
        if not isinstance(document, str):
            for link in links_of(document):
                return Field("documents", index, link.where)
    return None
