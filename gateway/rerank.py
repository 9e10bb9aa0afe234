"""The path of a request: check limits, choose the model, score pairs, rank, and say what was left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.domain import Outcome, Pair, Refused, RerankRequest, RerankResponse, Score, check, rank
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
    pairs = [Pair(request.query, document) for document in request.documents]
    outcomes = await model.scorer.score(pairs, request.reading)
    scores = _scores(outcomes, strict=request.strict)
    cut = [score.cut for score in scores if score.cut]
    return RerankResponse(
        model=model.name,
        ranking=rank(outcomes, request.top_n),
        tokens=sum(score.tokens for score in scores),
        chunks=sum(score.chunks for score in scores),
        cut_documents=len(cut),
        cut_tokens=sum(cut),
        warnings=_warnings(request, model, outcomes, scores),
    )


def _scores(outcomes: Sequence[Outcome], *, strict: bool) -> list[Score]:
    """What was scored. Raises BadRequest for what was refused if the caller is strict, or if nothing is left."""
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    if len(scores) < len(outcomes) and (strict or not scores):
        index, refused = next((i, one) for i, one in enumerate(outcomes) if isinstance(one, Refused))
        raise BadRequest(f"documents[{index}]: {refused.reason}")
    return scores


def _warnings(request: RerankRequest, model: Model, outcomes: Sequence[Outcome], scores: Sequence[Score]) -> list[str]:
    """What the caller should know of the answer, in words."""
    warnings = []
    if request.reading.instruction and not model.scorer.engine.takes_instruction:
        warnings.append(f"instruction: ignored, {model.name} takes none")
    if query_cut := max(score.query_cut for score in scores):
        warnings.append(f"query: cut to half of the model's context, {query_cut} tokens were not read")
    if cut := [score.cut for score in scores if score.cut]:
        warnings.append(f"documents: {len(cut)} of {len(outcomes)} were cut, {sum(cut)} tokens were not read")
    refused = [(index, one.reason) for index, one in enumerate(outcomes) if isinstance(one, Refused)]
    warnings += [f"documents[{index}]: not scored, {reason}" for index, reason in refused[:WARNED_DOCUMENTS]]
    if len(refused) > WARNED_DOCUMENTS:
        warnings.append(f"documents: {len(refused) - WARNED_DOCUMENTS} more were not scored")
    return warnings
