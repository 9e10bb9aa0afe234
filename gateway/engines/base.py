"""An engine is something that scores pairs: one model, with one or more servers behind it."""

from collections.abc import Sequence
from typing import Protocol

from gateway.domain import Outcome, Pair, ScoringOptions


class Engine(Protocol):
    """The way to a model's scores. `score` raises EngineUnavailable, EngineTimeout or EngineBadResponse."""

    identity: str
    """Changes whenever the same pair, read the same way, could get another score: part of every cache key."""

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        """The same for all options that this engine treats alike: they share their scores. Raises BadRequest."""

    async def score(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Outcome]:
        """One outcome per pair, in order."""
