"""A family is the recipe of one kind of model: what it reads for a pair, and what its answer means."""

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from gateway.domain import Blob, Pair, Refused, ScoringOptions
from gateway.errors import EngineBadResponse
from gateway.media.vision import Prepared, VisionProfile


class MultimodalPrompt(NamedTuple):
    """A prompt with pictures or videos, which the engine writes. A side is text, or vLLM's content parts.

    tokens: how many the engine will read.
    """

    instruction: str
    query: str | Mapping[str, object]
    document: str | Mapping[str, object]
    tokens: int


class TextPrompt(NamedTuple):
    """A pair of texts, which the engine puts into its model's prompt. tokens: how many the engine will read."""

    query: str
    document: str
    tokens: int


class ListPrompt(NamedTuple):
    """All documents of a request in one prompt, which the engine writes.

    tokens: how many it will read. cut: those left out of each document.
    """

    query: str
    documents: tuple[str, ...]
    instruction: str | None
    tokens: int
    cut: tuple[int, ...]


# Token ids of a whole prompt, texts for a server that writes the prompt, or media and texts for one.
Prompt = list[int] | Pair | TextPrompt | MultimodalPrompt | ListPrompt


class Rendered(NamedTuple):
    """The engine's reading of one pair: one prompt, or one per chunk.

    cut, query_cut: tokens of the document and of the query left out.
    """

    prompts: Sequence[Prompt]
    cut: int = 0
    query_cut: int = 0


class Probe(NamedTuple):
    """A prompt as text, and the token ids that the engine's own tokenizer must give for it."""

    text: str
    ids: list[int]


class Unit(Enum):
    """The subject of one score. PAIR: a query and a document. LIST: a document among all others of its request."""

    PAIR = auto()
    LIST = auto()


class Wire(Enum):
    """A way in which prompts travel to an engine."""

    TEXTS = auto()
    TOKEN_IDS = auto()
    MULTIMODAL = auto()
    LIST = auto()


class Flags(Enum):
    """The trust that a family's engine deserves when nothing tells with which flags it was started.

    NONE: no flag changes its logits. SEEN: a wrong flag shows in the scores of known weights. UNSEEN: it never shows.
    """

    NONE = auto()
    SEEN = auto()
    UNSEEN = auto()


class Family(Protocol):
    """A recipe. Adding one is a file in this folder and a row in FAMILIES."""

    fingerprint: str
    """Changes whenever the same pair would be read differently."""
    takes_instruction: bool
    multimodal: VisionProfile | None
    """The way it sees pictures and videos; None reads text only."""
    unit: Unit
    wire: Mapping[type, Wire]
    """The wire of each type of prompt that `render` gives."""
    probe: Probe | None
    """None where the server writes the prompt."""
    flags: Flags

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        """The same for all options that `render` treats alike. Raises BadRequest for more than the model's limits."""

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        """One result per pair, in order; prompts of one call have one type. A family of lists gives one for all pairs.

        media: every picture and video of the pairs. Raises BadRequest where the instruction leaves no room for more.
        """

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        """The engine's logits as relevance in 0..1. Raises EngineBadResponse for numbers that no model gives."""


def relevance(logits: Sequence[float], mean: float = 0.0, sigma: float = 1.0) -> list[float]:
    """sigmoid((logit - mean) / sigma) of each, in float64: in float32 all above 17 would be ties at 1.0.

    Raises EngineBadResponse for a logit that is not a finite number.
    """
    if not all(map(math.isfinite, logits)):
        raise EngineBadResponse("the engine gave a logit that is no finite number")
    return [_sigmoid((logit - mean) / sigma) for logit in logits]


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    power = math.exp(x)  # exp(-x) overflows below -709
    return power / (1 + power)
