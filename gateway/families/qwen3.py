"""Qwen3-Reranker: token ids of the official prompt, cut to fit, the suffix whole."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.domain import Blob, Pair, Refused, ScoringOptions, text_of
from gateway.errors import Field, Unreadable
from gateway.families.base import Flags, Probe, Rendered, Unit, Wire, relevance
from gateway.families.chunking import chunks, token_limit
from gateway.families.tokenizer import digest_of, first_tokens, ids_of, tokenizers_of
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)


class PromptTemplate(NamedTuple):
    """An official prompt: PREFIX, head, label with the document, suffix. empty: placeholder for an empty text."""

    head: str
    label: str
    suffix: str
    instruction: str
    empty: str = ""


# https://github.com/QwenLM/Qwen3-Embedding (README, "Qwen3-Reranker with transformers").
QWEN3 = PromptTemplate(
    "<Instruct>: {instruction}\n<Query>: {query}\n",
    "<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "Given a web search query, retrieve relevant passages that answer the query",
)
WIRES: Mapping[type, Wire] = {list: Wire.TOKEN_IDS}


class Qwen3:
    """Token ids of the official Qwen3-Reranker prompt: prefix, instruct, query, document, suffix.

    Control tokens in a caller's text are read as text: nobody can end the user's turn from within a document.
    """

    takes_instruction = True
    multimodal: VisionProfile | None = None
    unit = Unit.PAIR
    wire = WIRES
    flags = Flags.SEEN  # yes and no the wrong way round turn known pairs round
    template = QWEN3

    def __init__(self, model: ModelSettings) -> None:
        control, self._text, digest = tokenizers_of(model)
        self._prefix = ids_of(control, PREFIX)
        self._suffix = ids_of(control, self.template.suffix)
        # "<Document>:" alone has the ids it has before " text": the space belongs to the word that follows.
        self._label = len(ids_of(self._text, "<Document>:"))
        self._max_tokens = model.max_tokens
        self._max_tokens_per_doc = model.max_tokens_per_doc or model.max_tokens
        self._instruction = model.instruction or self.template.instruction
        limits = f"{self._max_tokens}/{self._max_tokens_per_doc}"
        self.fingerprint = digest_of(digest, PREFIX, *self.template, self._instruction, limits)
        example = self.template.head.format(instruction=self._instruction, query="a") + self.template.label + "b"
        self.probe: Probe | None = Probe(
            PREFIX + example + self.template.suffix, self._prefix + ids_of(self._text, example) + self._suffix
        )

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        instruction = options.instruction or self._instruction
        return ScoringOptions(instruction, options.max_tokens_per_doc, options.max_chunks_per_doc)

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return await asyncio.to_thread(self.render_texts, pairs, options)  # some 20 ms for 100 documents

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        return relevance(raw)

    def render_texts(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Rendered]:
        """One Rendered per pair of texts, in order."""
        instruction = options.instruction or self._instruction
        texts = [(text_of(pair.query), text_of(pair.document)) for pair in pairs]
        heads = {query: self._head(query, instruction) for query in {query for query, _ in texts}}
        # Label and text in one piece: the space after the colon joins the first word.
        label, empty = self.template.label, self.template.empty
        pieces = self._text.encode_batch_fast(
            [label + (document or empty) for _, document in texts], add_special_tokens=False
        )
        return [
            self._fit(document, piece.ids, heads[query], options)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _head(self, query: str, instruction: str) -> tuple[list[int], int]:
        """Everything before `<Document>`, and the query tokens left out.

        The cut after that last newline is safe: the pre-tokenizer never joins a newline to the `<` that follows.
        """
        query, query_cut = first_tokens(self._text, query, self._max_tokens // 2)
        head = self._prefix + ids_of(self._text, self.template.head.format(instruction=instruction, query=query))
        if len(head) + self._label + len(self._suffix) >= self._max_tokens:
            raise Unreadable(
                "too long, it leaves no room for a document", code="instruction_too_long", field=Field("instruction")
            )
        return head, query_cut

    def _fit(self, document: str, ids: list[int], headed: tuple[list[int], int], options: ScoringOptions) -> Rendered:
        """The prompt of one document, or those of its chunks. ids: of its label and text. headed: from `_head`."""
        head, query_cut = headed
        room = min(self._max_tokens - len(head) - len(self._suffix), self._label + self._max_tokens_per_doc)
        limit = token_limit(room, self._label, options)
        if len(ids) <= limit:
            return Rendered((head + ids + self._suffix,), 0, query_cut)
        if options.max_chunks_per_doc == 1 or limit < room:
            return Rendered((head + ids[:limit] + self._suffix,), len(ids) - limit, query_cut)
        offsets = self._text.encode(document, add_special_tokens=False).offsets
        texts, cut = chunks(document, offsets, room - self._label, options)
        label = self.template.label
        pieces = self._text.encode_batch_fast([label + text for text in texts], add_special_tokens=False)
        return Rendered([head + piece.ids[:room] + self._suffix for piece in pieces], cut, query_cut)
