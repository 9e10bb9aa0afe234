"""The default model: all-MiniLM-L6-v2, good at English, and multilingual-e5-small, which reads a hundred languages.

Both score a pair of texts in Latin letters, the second one only what the first finds promising. Any other pair is
scored by multilingual-e5-small alone, since all-MiniLM-L6-v2 cannot read it. Where multilingual-e5-small is not
installed, all-MiniLM-L6-v2 scores everything. So a score depends on nothing but its pair and the models installed,
which `root` tells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from launch.embedded import minilm
from launch.embedded.calibration import LOGITS, PROMISING, Kind
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
Way = Literal["english", "query", "passage"]  # how a text is encoded: by which model, and with which prefix
Job = tuple[Way, str]


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
        asked = [(pair, self._kind(texts[pair[0]], texts[pair[1]])) for pair in pairs]
        english = await self._cosines(pair for pair, kind in asked if kind in ("latin", "english"))
        worth = [pair for pair, kind in asked if kind != "english" and english.get(pair, 1.0) >= PROMISING]
        multilingual = await self._cosines(worth, ("query", "passage"))
        logits = [_logit(pair, kind, english, multilingual) for pair, kind in asked]
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

    async def _cosines(
        self, pairs: Iterable[Pair], ways: tuple[Way, Way] = ("english", "english")
    ) -> dict[Pair, float]:
        """The cosine of each pair, whose query and document are encoded in these ways."""
        distinct = list(dict.fromkeys(pairs))
        jobs = {pair: ((ways[0], pair[0]), (ways[1], pair[1])) for pair in distinct}
        vectors = await self._turns.run(self._vector, (job for both in jobs.values() for job in both))
        return {pair: float(vectors[query] @ vectors[document]) for pair, (query, document) in jobs.items()}

    def _vector(self, job: Job) -> Vector:
        way, text = job
        return self._encode[way](text)


def _logit(pair: Pair, kind: Kind, english: Mapping[Pair, float], multilingual: Mapping[Pair, float]) -> float:
    return LOGITS[kind](*(cosines[pair] for cosines in (english, multilingual) if pair in cosines))
