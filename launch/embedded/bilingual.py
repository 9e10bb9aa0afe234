"""The default model: all-MiniLM-L6-v2, good at English, and multilingual-e5-small, which reads a hundred languages.

Both score a pair of texts in Latin letters. Any other pair is scored by multilingual-e5-small alone, since
all-MiniLM-L6-v2 cannot read it. Where multilingual-e5-small is not installed, all-MiniLM-L6-v2 scores everything. So a
score depends on nothing but its pair and on the models installed, which `root` tells.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from launch.embedded import minilm
from launch.embedded.calibration import LOGITS, Kind
from launch.embedded.e5 import E5
from launch.embedded.encoder import MAX_CHARACTERS
from launch.embedded.minilm import MiniLM
from launch.embedded.scorer import Pair, Scored
from launch.embedded.scripts import is_latin
from launch.embedded.turns import Turns

# The English model's name came first, and stays that of the pair: clients, settings and cached scores know it.
NAMES = (minilm.NAME, f"sentence-transformers/{minilm.NAME}", "minilm-e5-small")

# Tokens are counted with all-MiniLM-L6-v2's tokenizer, whichever model reads the text. A longer text counts as 510.
MAX_TOKENS_PER_TEXT = 510
SPECIAL_TOKENS_PER_PAIR = 3  # [CLS] query [SEP] document [SEP]
MAX_TOKENS = 512

Vector = npt.NDArray[np.float32]
Job = tuple[Literal["english", "query", "passage"], str]  # the way a text is encoded, and the text


@dataclass(frozen=True, slots=True)
class _Text:
    """A text before it is encoded: its number of tokens, and True if all-MiniLM-L6-v2 can read it."""

    tokens: int
    latin: bool


class Bilingual:
    """Scores pairs with both models, or with the English one alone. `root` names them, and their precision."""

    names: Sequence[str] = NAMES
    max_tokens = MAX_TOKENS

    def __init__(self, english: MiniLM, multilingual: E5 | None, turns: Turns, root: str) -> None:
        self.root = root
        self._tokenizer, self._turns = english.tokenizer, turns
        self._encode: dict[str, Callable[[str], Vector]] = {"english": english.vector}
        if multilingual:
            self._encode |= {"query": multilingual.query, "passage": multilingual.passage}

    async def score(self, pairs: Sequence[Pair]) -> Scored:
        texts = await self._turns.run(self._text, (text for pair in pairs for text in pair))
        kinds = [self._kind(texts[query], texts[document]) for query, document in pairs]
        jobs = [job for pair, kind in zip(pairs, kinds, strict=True) for job in _jobs(pair, kind)]
        vectors = await self._turns.run(self._vector, jobs)
        logits = [_logit(pair, kind, vectors) for pair, kind in zip(pairs, kinds, strict=True)]
        tokens = sum(
            texts[query].tokens + texts[document].tokens + SPECIAL_TOKENS_PER_PAIR for query, document in pairs
        )
        return Scored(logits, tokens)

    def token_ids(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def token_strings(self, ids: Sequence[int]) -> list[str | None]:
        return [self._tokenizer.id_to_token(token) for token in ids]

    def _text(self, text: str) -> _Text:
        text = text[:MAX_CHARACTERS]
        return _Text(min(len(self.token_ids(text, special=False)), MAX_TOKENS_PER_TEXT), is_latin(text))

    def _kind(self, query: _Text, document: _Text) -> Kind:
        if "passage" not in self._encode:
            return "english"
        if query.latin and document.latin:
            return "latin"
        return "across" if query.latin or document.latin else "foreign"

    def _vector(self, job: Job) -> Vector:
        way, text = job
        return self._encode[way](text)


def _jobs(pair: Pair, kind: Kind) -> list[Job]:
    """The encodings of the pair's texts: query and document for each model that reads them."""
    query, document = pair
    english: list[Job] = [("english", query), ("english", document)] if kind in ("latin", "english") else []
    multilingual: list[Job] = [("query", query), ("passage", document)] if kind != "english" else []
    return english + multilingual


def _logit(pair: Pair, kind: Kind, vectors: Mapping[Job, Vector]) -> float:
    found = [vectors[job] for job in _jobs(pair, kind)]
    cosines = [float(query @ document) for query, document in zip(found[::2], found[1::2], strict=True)]
    return LOGITS[kind](*cosines)
