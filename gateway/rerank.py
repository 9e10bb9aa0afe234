"""The path of a request: check limits, choose the model, score pairs, rank, and say what was left out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.domain import Outcome, Refused, RerankRequest, RerankResponse, Score, check, rank
from gateway.errors import BadRequest, NotFound
from gateway.scorer import Scorer

WARNED_DOCUMENTS = 10


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

    def serving(self, name: str | None) -> Model:
        """Whoever answers for this name. Raises NotFound when `strict` and there is none."""
        if not name:
            return self.default
        if self.strict:
            return self.named(name)
        return self._by_name.get(name.strip().lower(), self.default)


async def rerank(request: RerankRequest, models: Models, *, max_documents: int) -> RerankResponse:
    """The answer to a request. Raises whatever of `errors` stands in its way."""
    check(request, max_documents=max_documents)
    model = models.serving(request.model)
    scored = await model.scorer.score(
        request.query, request.documents, request.reading, priority=request.priority, fresh=request.fresh
    )
    outcomes = scored.outcomes
    scores = _scores(outcomes, strict=request.strict)
    _, tokens, chunks, cuts, query_cuts = (sum(column) for column in zip(*scores, strict=True))
    cut_documents = sum(score.cut > 0 for score in scores) if cuts else 0
    return RerankResponse(
        model=model.name,
        ranking=rank(outcomes, request.top_n),
        tokens=tokens,
        chunks=chunks,
        cached=scored.cached,
        cached_tokens=scored.cached_tokens,
        cut_documents=cut_documents,
        cut_tokens=cuts,
        warnings=[
            *_ignored(request, model),
            *_cut(scores, cut_documents, cuts, query_cuts),
            *_refused(outcomes, len(outcomes) - len(scores)),
        ],
        seconds=scored.seconds,
    )


def _scores(outcomes: Sequence[Outcome], *, strict: bool) -> list[Score]:
    """What was scored. Raises BadRequest for what was refused if the caller is strict, or if nothing is left."""
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    if len(scores) < len(outcomes) and (strict or not scores):
        index, refused = next((i, one) for i, one in enumerate(outcomes) if isinstance(one, Refused))
        raise BadRequest(f"documents[{index}]: {refused.reason}")
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


def _refused(outcomes: Sequence[Outcome], count: int) -> Iterator[str]:
    if count == 0:
        return
    refused = ((index, one.reason) for index, one in enumerate(outcomes) if isinstance(one, Refused))
    for index, reason in islice(refused, WARNED_DOCUMENTS):
        yield f"documents[{index}]: not scored, {reason}"
    if count > WARNED_DOCUMENTS:
        yield f"documents: {count - WARNED_DOCUMENTS} more were not scored"
