"""The only place that knows a model's prompt: what the engine reads for a pair, cut to fit, the suffix whole."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from tokenizers import Tokenizer

from gateway.domain import Blob, Content, Pair, Refused, ScoringOptions, blobs_of, text_of
from gateway.errors import BadRequest
from gateway.media.preprocess import MediaOptions, Prepared
from gateway.media.videos import MAX_FPS
from gateway.settings import ModelSettings, SettingsError

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)


class PromptTemplate(NamedTuple):
    """An official prompt: PREFIX, head, label with the document, suffix. empty: what stands for a text of nothing."""

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
# https://github.com/QwenLM/Qwen3-VL-Embedding (src/models/qwen3_vl_reranker.py): no newline before <Query>, no space
# after the colons, no <think>.
QWEN3_VL = PromptTemplate(
    "<Instruct>: {instruction}<Query>:{query}\n",
    "<Document>:",
    "<|im_end|>\n<|im_start|>assistant\n",
    "Given a search query, retrieve relevant candidates that answer the query.",
    "NULL",
)
PIXELS_PER_TOKEN = 32 * 32

# An eighth of a chunk repeats the end of the one before, so that a sentence on the border is whole in one of them.
CHUNK_OVERLAP = 8
# A slice of text may encode to a few tokens more than it had inside the whole: words are cut at both ends.
CHUNK_MARGIN = 8
# Where texts are joined in a scene, the engine may count a token more than the pieces have apart.
SCENE_MARGIN = 8
OFFICIAL_FPS = 1.0
VIDEO_MARKS = 2


class MultimodalPrompt(NamedTuple):
    """A prompt with pictures or videos, which the engine writes: each side as vLLM's content parts, or plain text.

    tokens: how many the engine will read.
    """

    instruction: str
    query: str | Mapping[str, object]
    document: str | Mapping[str, object]
    tokens: int


Prompt = list[int] | Pair | MultimodalPrompt


class Rendered(NamedTuple):
    """What the engine reads for one pair: one prompt, or one per chunk.

    cut: document tokens left out. query_cut: query tokens left out.
    """

    prompts: Sequence[Prompt]
    cut: int = 0
    query_cut: int = 0


class Prompts(Protocol):
    """A family's way to write prompts."""

    fingerprint: str
    """Changes whenever the same pair would be rendered differently."""
    takes_instruction: bool
    sees: bool
    """Whether it can write pairs with pictures and videos, by `scene`."""
    probe: tuple[str, list[int]] | None
    """A prompt as text and as the ids the engine's own tokenizer must give for it; None where the server templates."""

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        """The same for all readings that `render` treats alike. Raises BadRequest for more than the model's limits."""

    def tokenizes(self, pairs: Sequence[Pair], reading: ScoringOptions) -> bool:
        """Whether `render` has so much to do with these that it is worth a thread."""

    def render(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Rendered]:
        """One Rendered per pair of texts, in order. Raises BadRequest where the instruction leaves no room for more."""


class Qwen3Prompts:
    """Token ids of the official Qwen3-Reranker prompt: prefix, instruct, query, document, suffix.

    Control tokens in a caller's text are read as text: nobody can end the user's turn from within a document.
    """

    takes_instruction = True
    sees = False
    recipe = QWEN3

    def __init__(self, model: ModelSettings) -> None:
        control, self._text, digest = _tokenizers(model)
        self._prefix = _ids(control, PREFIX)
        self._suffix = _ids(control, self.recipe.suffix)
        # "<Document>:" alone has the ids it has before " text": the space belongs to the word that follows.
        self._label = len(_ids(self._text, "<Document>:"))
        self._max_tokens = model.max_tokens
        self._max_tokens_per_doc = model.max_tokens_per_doc or model.max_tokens
        self._instruction = model.instruction or self.recipe.instruction
        limits = f"{self._max_tokens}/{self._max_tokens_per_doc}"
        self.fingerprint = _digest(digest, PREFIX, *self.recipe, self._instruction, limits)
        example = self.recipe.head.format(instruction=self._instruction, query="a") + self.recipe.label + "b"
        self.probe: tuple[str, list[int]] | None = (
            PREFIX + example + self.recipe.suffix,
            self._prefix + _ids(self._text, example) + self._suffix,
        )

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        instruction = reading.instruction or self._instruction
        return ScoringOptions(instruction, reading.max_tokens_per_doc, reading.max_chunks_per_doc)

    def tokenizes(self, pairs: Sequence[Pair], reading: ScoringOptions) -> bool:
        return True

    def render(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Rendered]:
        instruction = reading.instruction or self._instruction
        texts = _texts(pairs)
        heads = {query: self._head(query, instruction) for query in {query for query, _ in texts}}
        # Label and text in one piece: the space after the colon joins the first word.
        label, empty = self.recipe.label, self.recipe.empty
        pieces = self._text.encode_batch_fast(
            [label + (document or empty) for _, document in texts], add_special_tokens=False
        )
        return [
            self._fit(document, piece.ids, *heads[query], reading)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _head(self, query: str, instruction: str) -> tuple[list[int], int]:
        """Everything before `<Document>`, and the query tokens left out.

        The cut after that last newline is safe: the pre-tokenizer never joins a newline to the `<` that follows.
        """
        query, query_cut = _first_tokens(self._text, query, self._max_tokens // 2)
        head = self._prefix + _ids(self._text, self.recipe.head.format(instruction=instruction, query=query))
        if len(head) + self._label + len(self._suffix) >= self._max_tokens:
            raise BadRequest("instruction: too long, it leaves no room for a document")
        return head, query_cut

    def _fit(self, document: str, ids: list[int], head: list[int], query_cut: int, reading: ScoringOptions) -> Rendered:
        room = min(self._max_tokens - len(head) - len(self._suffix), self._label + self._max_tokens_per_doc)
        limit = _limit(room, self._label, reading)
        if len(ids) <= limit:
            return Rendered((head + ids + self._suffix,), 0, query_cut)
        if reading.max_chunks_per_doc == 1 or limit < room:
            return Rendered((head + ids[:limit] + self._suffix,), len(ids) - limit, query_cut)
        offsets = self._text.encode(document, add_special_tokens=False).offsets
        texts, cut = chunks(document, offsets, room - self._label, reading)
        label = self.recipe.label
        pieces = self._text.encode_batch_fast([label + text for text in texts], add_special_tokens=False)
        return Rendered([head + piece.ids[:room] + self._suffix for piece in pieces], cut, query_cut)


class Qwen3VlPrompts(Qwen3Prompts):
    """Qwen3-VL-Reranker: a pair of texts as token ids; one with pictures or videos as a scene, cut but never chunked.

    The engine's own tokenizer reads a scene's text and obeys control tokens in it, so those are broken here.
    """

    sees = True
    recipe = QWEN3_VL

    def __init__(self, model: ModelSettings) -> None:
        super().__init__(model)
        self._limits = MediaOptions(model.max_pixels, MAX_FPS, model.max_frames, model.max_video_s)
        added = sorted((token.content for token in self._text.get_added_tokens_decoder().values()), key=len)
        self._control = re.compile("|".join(map(re.escape, reversed(added))))
        self._template_tokens = len(self._prefix) + len(self._suffix)

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        sizes = self.sizes(reading)
        return replace(
            super().canonical(reading), fps=sizes.fps, max_frames=sizes.max_frames, max_pixels=sizes.max_pixels
        )

    def sizes(self, reading: ScoringOptions) -> MediaOptions:
        """How this request's media are read. Raises BadRequest for more than the server's limits."""
        limits = self._limits
        for name in ("fps", "max_frames", "max_pixels"):
            asked, limit = getattr(reading, name), getattr(limits, name)
            if asked is not None and asked > limit:
                raise BadRequest(f"invalid request: {name}: at most {limit:g}")
        return MediaOptions(
            reading.max_pixels or limits.max_pixels,
            reading.fps or OFFICIAL_FPS,
            reading.max_frames or limits.max_frames,
            limits.max_video_s,
        )

    def scene(self, pair: Pair, ready: Mapping[Blob, Prepared], reading: ScoringOptions) -> Rendered | Refused:
        """The pair as the engine gets it: each side's media, then its text, cut to fit beside them."""
        instruction = self._harmless(reading.instruction or self._instruction)
        query, query_cut = _first_tokens(self._text, self._harmless(text_of(pair.query)), self._max_tokens // 2)
        media = sum(self._tokens_of(ready[blob]) for side in pair for blob in blobs_of(side))
        fixed = media + self._tokens_around(pair, instruction, query, "")
        room = self._max_tokens - fixed - SCENE_MARGIN
        if room < 0:
            return Refused(f"its pictures and videos take {media} tokens, the model reads {self._max_tokens} in all")
        limit = min(room, self._max_tokens_per_doc, reading.max_tokens_per_doc or room)
        text, cut = _first_tokens(self._text, self._harmless(text_of(pair.document)), limit)
        tokens = media + self._tokens_around(pair, instruction, query, text)
        sides = self._side(pair.query, query, ready), self._side(pair.document, text, ready)
        return Rendered((MultimodalPrompt(instruction, *sides, tokens),), cut, query_cut)

    def _tokens_around(self, pair: Pair, instruction: str, query: str, document: str) -> int:
        """Tokens of a scene's whole prompt but its media, at which its text is split as by any control token."""
        before, after = self.recipe.head.split("{query}")
        pieces = [before.format(instruction=instruction)]
        for side, text in ((pair.query, query + after + self.recipe.label), (pair.document, document)):
            if blobs_of(side):
                pieces.append(text)
            else:
                pieces[-1] += text or self.recipe.empty
        return self._template_tokens + sum(len(_ids(self._text, piece)) for piece in pieces)

    def _side(self, content: Content, text: str, ready: Mapping[Blob, Prepared]) -> str | Mapping[str, object]:
        blobs = blobs_of(content)
        if not blobs:
            return text or self.recipe.empty
        parts: list[Mapping[str, object]] = [
            {"type": f"{blob.kind}_url", f"{blob.kind}_url": {"url": ready[blob].url}} for blob in blobs
        ]
        return {"content": [*parts, {"type": "text", "text": text}] if text else parts}

    def _harmless(self, text: str) -> str:
        """With a zero-width space inside each control token, which then is plain text to any tokenizer."""
        return self._control.sub(lambda found: found[0][0] + "\u200b" + found[0][1:], text)

    def _tokens_of(self, made: Prepared) -> int:
        """A picture's or a video's tokens: its squares, in their marks; a video's frames by two, each with its time."""
        squares = made.width * made.height // PIXELS_PER_TOKEN
        if not made.seconds:
            return squares + 2
        seconds = [*made.seconds, *made.seconds[-1:]][: (len(made.seconds) + 1) // 2 * 2]
        times = [(first + last) / 2 for first, last in zip(seconds[::2], seconds[1::2], strict=True)]
        # The marks around the whole video are those of transformers 5.10 and newer; older ones leave them out.
        return VIDEO_MARKS + sum(squares + 2 + len(_ids(self._text, f"<{time_s:.1f} seconds>")) for time_s in times)


class RawText:
    """Pairs as they are, for a server that knows its model's prompt and how to cut it."""

    takes_instruction = False
    sees = False
    fingerprint = "raw"
    probe: tuple[str, list[int]] | None = None

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        return ScoringOptions()

    def tokenizes(self, pairs: Sequence[Pair], reading: ScoringOptions) -> bool:
        return False

    def render(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Rendered]:
        return [Rendered((pair,)) for pair in pairs]


class CutText:
    """Pairs as text for a server that knows its model's prompt, cut here by that model's tokenizer to what fits."""

    takes_instruction = False
    sees = False
    probe: tuple[str, list[int]] | None = None

    def __init__(self, model: ModelSettings) -> None:
        _, self._tokenizer, digest = _tokenizers(model)
        self._max_tokens = model.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        self._max_tokens_per_doc = model.max_tokens_per_doc or self._max_tokens
        self.fingerprint = _digest(digest, str(model.max_tokens), str(model.max_tokens_per_doc))

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        return ScoringOptions(None, reading.max_tokens_per_doc, reading.max_chunks_per_doc)

    def tokenizes(self, pairs: Sequence[Pair], reading: ScoringOptions) -> bool:
        """Not what is sure to fit: a token is at least a byte of UTF-8, a character at most four."""
        limit = min(self._max_tokens // 2, _limit(self._max_tokens_per_doc, 0, reading))
        return max(len(text) for pair in pairs for text in pair) * 4 > limit

    def render(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Rendered]:
        if not self.tokenizes(pairs, reading):
            return [Rendered((pair,)) for pair in pairs]
        texts = _texts(pairs)
        queries = {query: self._query(query) for query in {query for query, _ in texts}}
        pieces = self._tokenizer.encode_batch([document for _, document in texts], add_special_tokens=False)
        return [
            self._fit(document, piece.offsets, *queries[query], reading)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _query(self, query: str) -> tuple[str, int, int]:
        cap = min(self._max_tokens // 2, self._max_tokens_per_doc)
        query, query_cut = _first_tokens(self._tokenizer, query, cap)
        room = self._max_tokens - len(_ids(self._tokenizer, query))
        return query, query_cut, min(room, self._max_tokens_per_doc)

    def _fit(
        self,
        document: str,
        offsets: list[tuple[int, int]],
        query: str,
        query_cut: int,
        room: int,
        reading: ScoringOptions,
    ) -> Rendered:
        limit = _limit(room, 0, reading)
        if len(offsets) <= limit:
            return Rendered((Pair(query, document),), 0, query_cut)
        if reading.max_chunks_per_doc == 1 or limit < room:
            return Rendered((Pair(query, document[: offsets[limit][0]]),), len(offsets) - limit, query_cut)
        texts, cut = chunks(document, offsets, room, reading)
        return Rendered([Pair(query, text) for text in texts], cut, query_cut)


def prompts_of(model: ModelSettings) -> Prompts:
    """How this model's pairs are written. Raises SettingsError when its tokenizer cannot be had."""
    return FAMILIES[model.family](model)


FAMILIES: dict[str, Callable[[ModelSettings], Prompts]] = {
    "cross-encoder": lambda model: RawText() if model.tokenizer is None else CutText(model),
    "qwen3-reranker": Qwen3Prompts,
    "qwen3-vl-reranker": Qwen3VlPrompts,
}


def _texts(pairs: Sequence[Pair]) -> Sequence[tuple[str, str]]:
    """The same pairs: `render` is given pairs of text alone, and looking at each would cost every document."""
    return cast("Sequence[tuple[str, str]]", pairs)


def _limit(room: int, label: int, reading: ScoringOptions) -> int:
    """How many tokens a document's piece may have: what fits, or less where the caller asked for less."""
    per_doc = reading.max_tokens_per_doc
    return room if per_doc is None else min(room, label + per_doc)


def chunks(text: str, offsets: Sequence[tuple[int, int]], room: int, reading: ScoringOptions) -> tuple[list[str], int]:
    """The text in overlapping slices that fit into `room` tokens, and how many tokens no slice holds.

    offsets: where each token of the text begins and ends, in characters.
    A slice is text, read like a document of its own, so that each is scored by the official recipe.
    """
    total = len(offsets)
    offsets = offsets[: reading.max_tokens_per_doc]
    window = max(1, room - CHUNK_MARGIN)
    overlap = window // CHUNK_OVERLAP
    starts = range(0, max(1, len(offsets) - overlap), window - overlap)[: reading.max_chunks_per_doc]
    ends = [min(start + window, len(offsets)) for start in starts]
    slices = [text[offsets[start][0] : offsets[end - 1][1]].strip() for start, end in zip(starts, ends, strict=True)]
    return slices, total - ends[-1]


def _tokenizers(model: ModelSettings) -> tuple[Tokenizer, Tokenizer, str]:
    """One that reads control tokens, one that reads everything as text, and the digest of their file."""
    try:
        source = _tokenizer_json(model).read_text(encoding="utf-8")
        control = Tokenizer.from_str(source)
        spec = json.loads(source)
        # Qwen lists <think> and others as added but not "special", and encode_special_tokens spares only special ones.
        for token in spec.get("added_tokens", ()):
            token["special"] = True
        text = Tokenizer.from_str(json.dumps(spec))
    except SettingsError:
        raise
    except Exception as error:  # tokenizers raises no kind of its own
        raise SettingsError(f"tokenizer: not a tokenizer.json ({type(error).__name__})") from None
    text.encode_special_tokens = True
    for tokenizer in (control, text):
        tokenizer.no_truncation()
        tokenizer.no_padding()
    return control, text, _digest(source)


def _tokenizer_json(model: ModelSettings) -> Path:
    """tokenizer.json in a folder, as a file, or from the hub. Raises SettingsError in one line."""
    source = model.tokenizer or model.hub or ""
    path = Path(source)
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        path = _downloaded(source, model.revision)
    return path


def _downloaded(hub: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download  # 0.3 s of import, needed only for a hub id

    try:
        return Path(hf_hub_download(hub, "tokenizer.json", revision=revision))
    except Exception as error:  # whatever it raises (a dozen kinds), the operator needs this one line
        why = type(error).__name__
        raise SettingsError(
            f"tokenizer: {hub!r} is no folder with a tokenizer.json, and the hub did not give it ({why})"
        ) from None


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _first_tokens(tokenizer: Tokenizer, text: str, count: int) -> tuple[str, int]:
    """The text of the first `count` tokens, and how many were left out."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    return (text, 0) if len(offsets) <= count else (text[: offsets[count][0]], len(offsets) - count)


def _digest(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        # Each part is preceded by its length: else ("ab", "c") and ("a", "bc") would be one fingerprint.
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
