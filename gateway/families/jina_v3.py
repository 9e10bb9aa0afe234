"""jina-reranker-v3: a query and all its documents in one prompt, each scored beside the others."""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.domain import Blob, Pair, Refused, ScoringOptions, text_of
from gateway.errors import BadRequest, EngineBadResponse, Field, Unreadable
from gateway.families.base import Flags, ListPrompt, Probe, Rendered, Unit, Wire
from gateway.families.tokenizer import control_pattern, digest_of, ids_of, tokenizers_of, without_control
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings

# https://huggingface.co/jinaai/jina-reranker-v3, modeling.py: longer texts are cut. More documents, or more tokens than
# its tokenizer's model_max_length holds, are read in blocks, whose vectors are then merged; no server does that.
MAX_DOCUMENTS = 125
MAX_QUERY_TOKENS = 512
MAX_DOCUMENT_TOKENS = 2048
MAX_BLOCK_TOKENS = 131072 - MAX_DOCUMENT_TOKENS - 2 * MAX_QUERY_TOKENS
# The prompt of the same file, which vLLM's io_processor.py writes too.
PREFIX = (
    "<|im_start|>system\nYou are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is depends on how well it "
    "answers the question. If not, try to analyze the intent of the query and assess how well each passage satisfies "
    "the intent. If an instruction is provided, you should follow the instruction when determining the ranking."
    "<|im_end|>\n<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
# Where the vectors of a document and of the query are read.
DOCUMENT_MARK, QUERY_MARK = "<|embed_token|>", "<|rerank_token|>"
WIRES: Mapping[type, Wire] = {ListPrompt: Wire.LIST}
# Cosines in half precision overshoot 1 a little.
COSINE_BOUND = 1.01


class JinaV3:
    """One list prompt. Control tokens in a caller's text are broken: the engine's tokenizer would obey them."""

    takes_instruction = True
    multimodal: VisionProfile | None = None
    unit = Unit.LIST
    wire = WIRES
    probe: Probe | None = None
    flags = Flags.NONE

    def __init__(self, model: ModelSettings) -> None:
        self._tokenizer, _, digest = tokenizers_of(model)
        self._control = control_pattern(self._tokenizer)
        self._instruction = model.instruction
        self._max_tokens = min(model.max_tokens, MAX_BLOCK_TOKENS)
        self._max_tokens_per_doc = min(model.max_tokens_per_doc or MAX_DOCUMENT_TOKENS, MAX_DOCUMENT_TOKENS)
        limits = f"{self._max_tokens}/{self._max_tokens_per_doc}"
        self.fingerprint = digest_of(digest, PREFIX, SUFFIX, repr(self._instruction), limits)

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions(options.instruction or self._instruction, options.max_tokens_per_doc)

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return [await asyncio.to_thread(self.render_list, pairs, options)]

    def render_list(self, pairs: Sequence[Pair], options: ScoringOptions) -> Rendered:
        """The prompt of all documents, in order. pairs: of one query. Raises BadRequest for more than one block."""
        if len(pairs) > MAX_DOCUMENTS:
            raise BadRequest(
                f"this model ranks at most {MAX_DOCUMENTS} documents, in one list",
                code="too_many_documents",
                field=Field("documents"),
            )
        instruction = self.canonical(options).instruction
        instruction = instruction and self._plain(instruction)
        query, query_cut = self._cut(text_of(pairs[0].query), MAX_QUERY_TOKENS)
        per_doc = min(self._max_tokens_per_doc, options.max_tokens_per_doc or MAX_DOCUMENT_TOKENS)
        cut = [self._cut(text_of(pair.document), per_doc) for pair in pairs]
        documents = tuple(text for text, _ in cut)
        tokens = len(self._tokenizer.encode(prompt(query, documents, instruction)).ids)
        if tokens > self._max_tokens:
            raise Unreadable(
                f"the list has {tokens} tokens and the model reads {self._max_tokens}: send fewer or shorter documents",
                field=Field("documents"),
            )
        left = tuple(left for _, left in cut)
        return Rendered((ListPrompt(query, documents, instruction, tokens, left),), sum(left), query_cut)

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        """Cosines as (1 + cosine) / 2, the weight that the author's own code makes of them."""
        if not all(-COSINE_BOUND <= cosine <= COSINE_BOUND for cosine in raw):  # false for NaN too
            raise EngineBadResponse("the engine gave a cosine outside -1..1")
        return [min(max(0.0, (1 + cosine) / 2), 1.0) for cosine in raw]

    def _cut(self, text: str, limit: int) -> tuple[str, int]:
        """The text of its first tokens, as the author's code decodes them, and the tokens left out."""
        ids = ids_of(self._tokenizer, text)
        if len(ids) > limit:
            text = self._tokenizer.decode(ids[:limit], skip_special_tokens=False)
        return self._plain(text), max(0, len(ids) - limit)

    def _plain(self, text: str) -> str:
        """The text without the two marks, which the author's code takes out, and with other control tokens broken."""
        for mark in (DOCUMENT_MARK, QUERY_MARK):
            text = text.replace(mark, "")
        return without_control(self._control, text)


def prompt(query: str, documents: Sequence[str], instruction: str | None) -> str:
    """The text that the engine writes."""
    told = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
    passages = "\n".join(f'<passage id="{n}">\n{text}{DOCUMENT_MARK}\n</passage>' for n, text in enumerate(documents))
    return (
        f"{PREFIX}I will provide you with {len(documents)} passages, each indicated by a numerical identifier. Rank "
        f"the passages based on their relevance to query: {query}\n{told}{passages}\n<query>\n{query}{QUERY_MARK}\n"
        f"</query>{SUFFIX}"
    )
