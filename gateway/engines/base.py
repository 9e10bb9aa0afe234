"""What an engine is to the gateway: something that scores pairs, and can say what it is and how it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain import Blob, Outcome, Pair, ScoringOptions
from gateway.media.preprocess import Frame, Prepared


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as the engine's tokenizer sees it; `max_tokens` is the longest the engine reads, where it tells."""

    ids: list[int]
    strings: list[str]
    max_tokens: int | None = None


class Engine(Protocol):
    """One model, behind one upstream. Every call raises EngineUnavailable, EngineTimeout or EngineBadResponse."""

    identity: str
    """Changes whenever the same pair, read the same way, could get another score: part of every cache key."""
    epoch: int
    """Grows each time the engine stops answering: what was checked before must be checked again."""
    takes_instruction: bool
    sees: bool
    """Whether it reads pictures and videos; `count` is for those that do."""
    real_weights: bool
    """False for a model without a hub id: nobody knows what it should find relevant."""
    min_version: tuple[int, int, int]
    max_tokens: int
    """The longest prompt it is sent."""
    probe: tuple[str, list[int]] | None
    """A rendered prompt and the ids the engine's tokenizer must give for it; None where the server templates."""

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        """The same for all readings that this engine reads alike: they share their scores. Raises BadRequest."""

    async def score(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Outcome]:
        """One outcome per pair, in order."""

    async def preview(self, blob: Blob, reading: ScoringOptions) -> tuple[Prepared, list[Frame]]:
        """A picture or video as the engine is sent it, and for a person's eye. Raises BadMedia, BadRequest."""

    async def count(self, pair: Pair, ready: Mapping[Blob, Prepared]) -> tuple[int, int, float]:
        """A pair's tokens as the gateway counts them and as the engine does, and its score."""

    async def tokenize(self, text: str) -> Tokens: ...

    async def alive(self) -> None: ...

    async def version(self) -> str | None:
        """None when the server does not tell."""
