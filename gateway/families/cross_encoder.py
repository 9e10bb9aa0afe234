"""Cross-encoders: pairs as text, for a server that knows its model's prompt."""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.domain import Blob, Pair, Refused, ScoringOptions, text_of
from gateway.families.base import Family, Flags, Probe, Rendered, Unit, Wire, relevance
from gateway.families.chunking import chunks, token_limit
from gateway.families.tokenizer import digest_of, first_tokens, ids_of, tokenizers_of
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings

WIRES: Mapping[type, Wire] = {Pair: Wire.TEXTS}


def cross_encoder(model: ModelSettings) -> Family:
    """Cuts to what fits where the settings name the model's tokenizer; else the server cuts."""
    return RawText() if model.tokenizer is None else CutText(model)


class RawText:
    """Pairs as they are: the server knows its model's prompt and how to cut it."""

    takes_instruction = False
    multimodal: VisionProfile | None = None
    unit = Unit.PAIR
    wire = WIRES
    probe: Probe | None = None
    flags = Flags.NONE
    fingerprint = "raw"

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions()

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return [Rendered((pair,)) for pair in pairs]

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        return relevance(raw)


class CutText(RawText):
    """Pairs as text, cut here by the model's tokenizer to what fits."""

    def __init__(self, model: ModelSettings) -> None:
        _, self._tokenizer, digest = tokenizers_of(model)
        self._max_tokens = model.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        self._max_tokens_per_doc = model.max_tokens_per_doc or self._max_tokens
        self.fingerprint = digest_of(digest, str(model.max_tokens), str(model.max_tokens_per_doc))

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions(None, options.max_tokens_per_doc, options.max_chunks_per_doc)

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        if self._surely_fit(pairs, options):
            return [Rendered((pair,)) for pair in pairs]
        return await asyncio.to_thread(self.render_texts, pairs, options)

    def render_texts(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Rendered]:
        """One Rendered per pair of texts, in order."""
        texts = [(text_of(pair.query), text_of(pair.document)) for pair in pairs]
        queries = {query: self._cut_query(query) for query in {query for query, _ in texts}}
        pieces = self._tokenizer.encode_batch([document for _, document in texts], add_special_tokens=False)
        return [
            self._fit(document, piece.offsets, queries[query], options)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _surely_fit(self, pairs: Sequence[Pair], options: ScoringOptions) -> bool:
        """True when no pair can be too long: a token is at least a byte of UTF-8, a character at most four."""
        limit = min(self._max_tokens // 2, token_limit(self._max_tokens_per_doc, 0, options))
        longest = max(max(len(text_of(pair.query)), len(text_of(pair.document))) for pair in pairs)
        return longest * 4 <= limit

    def _cut_query(self, query: str) -> tuple[str, int, int]:
        """The query as it is read, its tokens left out, and the tokens it leaves to a document."""
        cap = min(self._max_tokens // 2, self._max_tokens_per_doc)
        query, query_cut = first_tokens(self._tokenizer, query, cap)
        room = self._max_tokens - len(ids_of(self._tokenizer, query))
        return query, query_cut, min(room, self._max_tokens_per_doc)

    def _fit(
        self,
        document: str,
        offsets: list[tuple[int, int]],
        cut_query: tuple[str, int, int],
        options: ScoringOptions,
    ) -> Rendered:
        query, query_cut, room = cut_query
        limit = token_limit(room, 0, options)
        if len(offsets) <= limit:
            return Rendered((Pair(query, document),), 0, query_cut)
        if options.max_chunks_per_doc == 1 or limit < room:
            return Rendered((Pair(query, document[: offsets[limit][0]]),), len(offsets) - limit, query_cut)
        texts, cut = chunks(document, offsets, room, options)
        return Rendered([Pair(query, text) for text in texts], cut, query_cut)
