"""The interface between the server and the models: pairs of texts in, logits and token counts out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scored:
    """The logits of a request's pairs in order, and the tokens of all pairs.

    Each pair counts as many tokens as its tokenizer gives for the pair as it was read, special tokens included.
    """

    logits: Sequence[float]
    tokens: int


class Scorer(Protocol):
    """A model, or two that score together.

    names: under which it may be asked for, its own first. root: what the scores depend on (models, digests of weights,
    precision, version of the recipe): two engines with one root give equal scores. max_tokens: of one text or pair.
    """

    names: Sequence[str]
    root: str
    max_tokens: int

    async def score(self, pairs: Sequence[Pair]) -> Scored:
        """The logit of each pair. The score is its sigmoid."""
        ...

    def token_ids(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of the whole text. `special` adds those that the model puts around a single text."""
        ...

    def token_strings(self, ids: Sequence[int]) -> list[str | None]: ...


@runtime_checkable
class ReadsIds(Protocol):
    """A scorer that also takes pairs as token ids, joined by its caller. vocabulary: the number of ids."""

    vocabulary: int

    async def score_ids(self, prompts: Sequence[tuple[int, ...]]) -> Scored:
        """The logit of each prompt."""
        ...


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    if logit < 0:
        power = math.exp(logit)
        return power / (1 + power)
    return 1 / (1 + math.exp(-logit))
