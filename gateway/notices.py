"""Words for what a ranking left out: ignored options, cut texts, documents that were not scored."""

from collections.abc import Iterator, Sequence
from itertools import islice

from gateway.domain import Content, Link, Notice, Outcome, Refused, RerankRequest, Score
from gateway.errors import Field
from gateway.models import Model

NOTICED_DOCUMENTS = 10


def notices(request: RerankRequest, model: Model, outcomes: Sequence[Outcome], doubt: str) -> Iterator[Notice]:
    """Everything that a caller should know of a ranking beside its scores. doubt: why they may be wrong."""
    if doubt:
        yield Notice(Field("model"), doubt)
    if request.options.instruction and not model.family.takes_instruction:
        yield Notice(Field("instruction"), f"ignored, {model.name} takes none")
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    if query_cut := max((score.query_cut for score in scores), default=0):
        yield Notice(Field("query"), f"cut, {query_cut} tokens were not read")
    if cut := [score.cut for score in scores if score.cut]:
        yield Notice(Field("documents"), f"{len(cut)} of {len(scores)} were cut, {sum(cut)} tokens were not read")
    if len(scores) < len(outcomes):
        yield from _not_scored(request, outcomes)


def field_of(request: RerankRequest, index: int, refused: Refused) -> Field:
    """The field at fault, as this caller wrote it; index: of the document."""
    if refused.in_query:
        return Field("query", None, _place(request.query, refused))
    return Field("documents", index, _place(request.documents[index], refused))


def _not_scored(request: RerankRequest, outcomes: Sequence[Outcome]) -> Iterator[Notice]:
    refused = [(index, one) for index, one in enumerate(outcomes) if isinstance(one, Refused)]
    for index, one in islice(refused, NOTICED_DOCUMENTS):
        yield Notice(field_of(request, index, one), f"not scored, {one.reason}")
    if len(refused) > NOTICED_DOCUMENTS:
        yield Notice(Field("documents"), f"{len(refused) - NOTICED_DOCUMENTS} more were not scored")


def _place(content: Content, refused: Refused) -> str:
    if refused.part is None or isinstance(content, str):
        return ""
    part = content.media[refused.part]
    return part.where if isinstance(part, Link) else ""
