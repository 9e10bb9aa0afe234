"""An engine is something that scores pairs: one model, with one or more servers behind it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.domain import Outcome, Pair, ScoringOptions


class Engine(Protocol):
    """The way to a model's scores. `score` raises EngineError.

    listwise: a document's score depends on the others beside it, and on their order.
    """

    listwise: bool

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        """The same for all options that this engine treats alike: they share their scores. Raises BadRequest."""

    async def score(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Outcome]:
        """One outcome per pair, in order."""


class Trust(NamedTuple):
    """The finding of an examination.

    identity: changes whenever the same pair, read the same way, could get another score: part of every cache key.
    doubt: in words, why the scores may be wrong; such scores are not kept. Empty where nothing is wrong.
    """

    identity: str
    doubt: str = ""


class Examiner(Protocol):
    """Knows which engine answers, and that its scores are right."""

    async def known(self) -> Trust:
        """The engine that answered last; enough to give scores of it that are kept. Raises EngineError."""

    async def answering(self) -> Trust:
        """The engine that answers now; needed before it scores. Raises EngineError."""
