"""Cross-encoders: a query and a document, joined by the tokenizer's own control tokens."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.domain import Blob, Pair, Refused, ScoringOptions, text_of
from gateway.errors import Unreadable
from gateway.families.base import Family, Flags, Probe, Rendered, TextPrompt, Unit, Wire, relevance
from gateway.families.chunking import chunks, token_limit
from gateway.families.recipe import Ids, Recipe, RecipeFamily, text
from gateway.families.tokenizer import Tokenizers, digest_of, first_tokens, ids_of, pair_frame, tokenizers_of
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings, SettingsError

# Texts that have no tokens, for one of no characters: vLLM takes an empty text of a pair for none, and scores the other
# alone. Sentence Transformers and FlagEmbedding, which tokenise lists, score the pair.
NO_TOKENS = (" ", "\n", "\0")
WIRES: Mapping[type, Wire] = {Pair: Wire.TEXTS, TextPrompt: Wire.TEXTS}


class NeedsPromptError(SettingsError):
    """The tokenizer joins a pair with nothing between: a decoder's, whose model reads a prompt."""


def cross_encoder(model: ModelSettings) -> Family:
    """Token ids, where they tell all that the model reads (RoBERTa's and ModernBERT's kind); else pairs as text.

    Texts are cut to what fits where the settings name the model's tokenizer; else the server cuts. Raises
    NeedsPromptError.
    """
    if model.tokenizer is None:
        return RawText(model)
    tokenizers = tokenizers_of(model)
    if tokenizers.control.num_special_tokens_to_add(True) == 0:
        raise NeedsPromptError("family")
    frame = pair_frame(tokenizers.control)
    if frame is None:
        return CutText(model, tokenizers)
    before, between, behind = (Ids(tuple(ids)) for ids in frame)
    recipe = Recipe((before, text("{query}"), between, text("{document}"), behind), flags=Flags.NONE)
    return RecipeFamily(model, recipe, tokenizers)


class RawText:
    """Pairs as they are: the server knows how to join and to cut them."""

    takes_instruction = False
    multimodal: VisionProfile | None = None
    unit = Unit.PAIR
    wire = WIRES
    probe: Probe | None = None
    flags = Flags.NONE

    def __init__(self, model: ModelSettings) -> None:
        self._mean = model.logit_mean or 0.0
        self._sigma = model.logit_sigma or 1.0
        self.fingerprint = digest_of("raw", f"{self._mean!r}/{self._sigma!r}")

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions()

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return [Rendered((pair,)) for pair in pairs]

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        return relevance(raw, self._mean, self._sigma)


class CutQuery(NamedTuple):
    """A query as it is read, its tokens, those left out, and the tokens it leaves to a document."""

    text: str
    tokens: int
    cut: int
    room: int


class CutText(RawText):
    """Pairs as text, cut here by the model's tokenizer to what fits, and counted.

    The server's tokenizer obeys control tokens in a text, so they are counted as it does.
    """

    def __init__(self, model: ModelSettings, tokenizers: Tokenizers | None = None) -> None:
        super().__init__(model)
        self._tokenizer, _, digest = tokenizers or tokenizers_of(model)
        self.special_tokens: int = self._tokenizer.num_special_tokens_to_add(True)
        self._max_tokens = model.max_tokens - self.special_tokens
        self._max_tokens_per_doc = model.max_tokens_per_doc or self._max_tokens
        self._empty = next((text for text in NO_TOKENS if not ids_of(self._tokenizer, text)), None)
        limits = f"{model.max_tokens}/{model.max_tokens_per_doc}/{self.special_tokens}"
        self.fingerprint = digest_of(digest, limits, self.fingerprint)

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions(None, options.max_tokens_per_doc, options.max_chunks_per_doc)

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        rendered = await asyncio.to_thread(self.render_texts, pairs, options)
        if self._empty is not None:
            return rendered
        return [
            one if text_of(pair.document) else Refused("the engine reads no empty text", Unreadable.code)
            for pair, one in zip(pairs, rendered, strict=True)
        ]

    def render_texts(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Rendered]:
        """One Rendered per pair of texts, in order."""
        texts = [(text_of(pair.query), text_of(pair.document)) for pair in pairs]
        queries = {query: self._cut_query(query) for query in {query for query, _ in texts}}
        pieces = self._tokenizer.encode_batch_fast([document for _, document in texts], add_special_tokens=False)
        return [
            self._fit(document, len(piece.ids), queries[query], options)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _cut_query(self, query: str) -> CutQuery:
        cap = min(self._max_tokens // 2, self._max_tokens_per_doc)
        query, cut = first_tokens(self._tokenizer, query, cap)
        tokens = len(ids_of(self._tokenizer, query))
        return CutQuery(query, tokens, cut, min(self._max_tokens - tokens, self._max_tokens_per_doc))

    def _fit(self, document: str, tokens: int, query: CutQuery, options: ScoringOptions) -> Rendered:
        """The pair, or those of its chunks. tokens: of the document."""
        limit = token_limit(query.room, 0, options)
        if tokens <= limit:
            return Rendered((self._prompt(query, document, tokens),), 0, query.cut)
        if options.max_chunks_per_doc == 1 or limit < query.room:
            return Rendered((self._cut_prompt(query, document, limit),), tokens - limit, query.cut)
        offsets = self._tokenizer.encode(document, add_special_tokens=False).offsets
        texts, cut = chunks(document, offsets, query.room, options)
        return Rendered([self._cut_prompt(query, text, query.room) for text in texts], cut, query.cut)

    def _cut_prompt(self, query: CutQuery, document: str, limit: int) -> TextPrompt:
        """The pair with at most `limit` tokens of its document. A text cut within a word may have more than before."""
        text, tokens = document, limit + 1
        for room in range(limit, -1, -1):
            text, _ = first_tokens(self._tokenizer, document, room)
            tokens = len(ids_of(self._tokenizer, text))
            if tokens <= limit:
                break
        return self._prompt(query, text, tokens)

    def _prompt(self, query: CutQuery, document: str, tokens: int) -> TextPrompt:
        return TextPrompt(query.text, document or self._empty or "", self.special_tokens + query.tokens + tokens)
