"""Qwen3-VL-Reranker: texts as token ids; pictures and videos as a prompt that the engine writes from our template."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain import Blob, Content, Pair, Refused, ScoringOptions, blobs_of, text_of
from gateway.families.base import MultimodalPrompt, Rendered, Wire
from gateway.families.qwen3 import PromptTemplate, Qwen3
from gateway.families.tokenizer import control_pattern, first_tokens, ids_of, without_control
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings

# https://github.com/QwenLM/Qwen3-VL-Embedding (src/models/qwen3_vl_reranker.py): no newline before <Query>, no space
# after the colons, no <think>.
QWEN3_VL = PromptTemplate(
    "<Instruct>: {instruction}<Query>:{query}\n",
    "<Document>:",
    "<|im_end|>\n<|im_start|>assistant\n",
    "Given a search query, retrieve relevant candidates that answer the query.",
    "NULL",
)
# Where texts are joined in a prompt, the engine may count a token more than the pieces have apart.
MARGIN_TOKENS = 8
WIRES: Mapping[type, Wire] = {list: Wire.TOKEN_IDS, MultimodalPrompt: Wire.MULTIMODAL}
_TOKEN_PIXELS = 32 * 32
# Pictures: 4 to 1800 tokens. Frames: one a second, at most 64, of 768 tokens each and ten times that in all.
# https://github.com/QwenLM/Qwen3-VL-Embedding/blob/main/src/models/qwen3_vl_reranker.py
# At least four frames, of at least 4 tokens each, and the ratio: qwen-vl-utils (its address is at `scaled_size`).
# Steps, their labels and the marks: transformers' processor of Qwen3-VL. Those around a whole video came with 5.10.
# max_video_s is ours: it bounds the time that a request may take to decode.
VISION = VisionProfile(
    token_side=32,  # patches of 16 x 16 pixels, merged two by two
    min_pixels=4 * _TOKEN_PIXELS,
    max_pixels=1800 * _TOKEN_PIXELS,
    max_side_ratio=200,
    fps=1.0,
    min_frames=4,
    min_frame_pixels=4 * _TOKEN_PIXELS,
    max_frame_pixels=768 * _TOKEN_PIXELS,
    max_clip_pixels=10 * 768 * _TOKEN_PIXELS,
    frames_per_patch=2,
    step_label="<{:.1f} seconds>",
    image_marks=2,
    video_marks=2,
    max_frames=64,
    max_video_s=30.0,
)


class Qwen3Vl(Qwen3):
    """A pair of texts as token ids; a pair with pictures or videos as a multimodal prompt, cut but never chunked.

    The engine's own tokenizer reads a multimodal prompt's text and obeys control tokens in it: those are broken here.
    """

    wire = WIRES
    template = QWEN3_VL

    def __init__(self, model: ModelSettings) -> None:
        super().__init__(model)
        self._vision = VISION.narrowed(model)
        self.multimodal: VisionProfile | None = self._vision
        self._control = control_pattern(self._text)
        self._template_tokens = len(self._prefix) + len(self._suffix)

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        media = self._vision.options(options)
        return msgspec.structs.replace(
            super().canonical(options), fps=media.fps, max_frames=media.max_frames, max_pixels=media.max_pixels
        )

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        if not media:
            return await super().render(pairs, media, options)
        return await asyncio.to_thread(lambda: [self._render_mixed(pair, media, options) for pair in pairs])

    def _render_mixed(self, pair: Pair, media: Mapping[Blob, Prepared], options: ScoringOptions) -> Rendered | Refused:
        """The prompt of a pair with media: each side's media, then its text, cut to fit beside them."""
        instruction = self._without_control(options.instruction or self._instruction)
        query, query_cut = first_tokens(self._text, self._without_control(text_of(pair.query)), self._max_tokens // 2)
        media_tokens = sum(self._vision.tokens(media[blob], self._count) for blob in pair.blobs)
        fixed = media_tokens + self._text_tokens(pair, instruction, query, "")
        room = self._max_tokens - fixed - MARGIN_TOKENS
        if room < 0:
            return Refused(
                f"its pictures and videos take {media_tokens} tokens, the model reads {self._max_tokens} in all",
                "media_too_large",
            )
        limit = min(room, self._max_tokens_per_doc, options.max_tokens_per_doc or room)
        text, cut = first_tokens(self._text, self._without_control(text_of(pair.document)), limit)
        tokens = media_tokens + self._text_tokens(pair, instruction, query, text)
        sides = self._side(pair.query, query, media), self._side(pair.document, text, media)
        return Rendered((MultimodalPrompt(instruction, *sides, tokens),), cut, query_cut)

    def _text_tokens(self, pair: Pair, instruction: str, query: str, document: str) -> int:
        """Token count of the prompt without media. Media split the text, so each piece is tokenised alone."""
        before, after = self.template.head.split("{query}")
        pieces = [before.format(instruction=instruction)]
        for side, text in ((pair.query, query + after + self.template.label), (pair.document, document)):
            if blobs_of(side):
                pieces.append(text)
            else:
                pieces[-1] += text or self.template.empty
        return self._template_tokens + sum(map(self._count, pieces))

    def _side(self, content: Content, text: str, media: Mapping[Blob, Prepared]) -> str | Mapping[str, object]:
        """A query or document as vLLM's content parts."""
        blobs = blobs_of(content)
        if not blobs:
            return text or self.template.empty
        parts: list[Mapping[str, object]] = [
            {"type": f"{blob.kind}_url", f"{blob.kind}_url": {"url": media[blob].url}} for blob in blobs
        ]
        return {"content": [*parts, {"type": "text", "text": text}] if text else parts}

    def _without_control(self, text: str) -> str:
        return without_control(self._control, text)

    def _count(self, text: str) -> int:
        return len(ids_of(self._text, text))
