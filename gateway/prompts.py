"""The only place that knows a model's prompt: what the engine reads for a pair, cut to fit, the suffix whole."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from tokenizers import Tokenizer

from gateway.domain import Pair, Reading
from gateway.errors import BadRequest
from gateway.settings import ModelSettings, SettingsError

# The official recipe: https://github.com/QwenLM/Qwen3-Embedding (README, "Qwen3-Reranker with transformers").
QWEN3_PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
QWEN3_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
QWEN3_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

# An eighth of a chunk repeats the end of the one before, so that a sentence on the border is whole in one of them.
CHUNK_OVERLAP = 8
# A slice of text may encode to a few tokens more than it had inside the whole: words are cut at both ends.
CHUNK_MARGIN = 8

Prompt = list[int] | Pair


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
    probe: tuple[str, list[int]] | None
    """A prompt as text and as the ids the engine's own tokenizer must give for it; None where the server templates."""

    def canonical(self, reading: Reading) -> Reading:
        """The same for all readings that `render` treats alike."""

    def tokenizes(self, pairs: Sequence[Pair], reading: Reading) -> bool:
        """Whether `render` has so much to do with these that it is worth a thread."""

    def render(self, pairs: Sequence[Pair], reading: Reading) -> list[Rendered]:
        """One Rendered per pair, in order. Raises BadRequest when the instruction leaves no room for a document."""


class Qwen3Prompts:
    """Token ids of the official Qwen3-Reranker prompt: prefix, instruct, query, document, suffix.

    Control tokens in a caller's text are read as text: nobody can end the user's turn from within a document.
    """

    takes_instruction = True

    def __init__(self, model: ModelSettings) -> None:
        control, self._text, digest = _tokenizers(model)
        self._prefix = _ids(control, QWEN3_PREFIX)
        self._suffix = _ids(control, QWEN3_SUFFIX)
        # "<Document>:" alone has the ids it has before " text": the space belongs to the word that follows.
        self._label = len(_ids(self._text, "<Document>:"))
        self._max_tokens = model.max_tokens
        self._max_tokens_per_doc = model.max_tokens_per_doc or model.max_tokens
        self._instruction = model.instruction or QWEN3_INSTRUCTION
        limits = f"{self._max_tokens}/{self._max_tokens_per_doc}"
        self.fingerprint = _digest(digest, QWEN3_PREFIX, QWEN3_SUFFIX, self._instruction, limits)
        example = f"<Instruct>: {self._instruction}\n<Query>: a\n<Document>: b"
        self.probe: tuple[str, list[int]] | None = (
            QWEN3_PREFIX + example + QWEN3_SUFFIX,
            self._prefix + _ids(self._text, example) + self._suffix,
        )

    def canonical(self, reading: Reading) -> Reading:
        return replace(reading, instruction=reading.instruction or self._instruction)

    def tokenizes(self, pairs: Sequence[Pair], reading: Reading) -> bool:
        return True

    def render(self, pairs: Sequence[Pair], reading: Reading) -> list[Rendered]:
        instruction = reading.instruction or self._instruction
        heads = {query: self._head(query, instruction) for query in {pair.query for pair in pairs}}
        # Label and text in one piece: the space after the colon joins the first word.
        pieces = self._text.encode_batch_fast(
            ["<Document>: " + pair.document for pair in pairs], add_special_tokens=False
        )
        return [
            self._fit(pair.document, piece.ids, *heads[pair.query], reading)
            for pair, piece in zip(pairs, pieces, strict=True)
        ]

    def _head(self, query: str, instruction: str) -> tuple[list[int], int]:
        """Everything before `<Document>`, and the query tokens left out.

        The cut after that last newline is safe: the pre-tokenizer never joins a newline to the `<` that follows.
        """
        query, query_cut = _first_tokens(self._text, query, self._max_tokens // 2)
        head = self._prefix + _ids(self._text, f"<Instruct>: {instruction}\n<Query>: {query}\n")
        if len(head) + self._label + len(self._suffix) >= self._max_tokens:
            raise BadRequest("instruction: too long, it leaves no room for a document")
        return head, query_cut

    def _fit(self, document: str, ids: list[int], head: list[int], query_cut: int, reading: Reading) -> Rendered:
        room = min(self._max_tokens - len(head) - len(self._suffix), self._label + self._max_tokens_per_doc)
        limit = _limit(room, self._label, reading)
        if len(ids) <= limit:
            return Rendered((head + ids + self._suffix,), 0, query_cut)
        if reading.max_chunks_per_doc == 1 or limit < room:
            return Rendered((head + ids[:limit] + self._suffix,), len(ids) - limit, query_cut)
        offsets = self._text.encode(document, add_special_tokens=False).offsets
        texts, cut = chunks(document, offsets, room - self._label, reading)
        pieces = self._text.encode_batch_fast(["<Document>: " + text for text in texts], add_special_tokens=False)
        return Rendered([head + piece.ids[:room] + self._suffix for piece in pieces], cut, query_cut)


class RawText:
    """Pairs as they are, for a server that knows its model's prompt and how to cut it."""

    takes_instruction = False
    fingerprint = "raw"
    probe: tuple[str, list[int]] | None = None

    def canonical(self, reading: Reading) -> Reading:
        return Reading()

    def tokenizes(self, pairs: Sequence[Pair], reading: Reading) -> bool:
        return False

    def render(self, pairs: Sequence[Pair], reading: Reading) -> list[Rendered]:
        return [Rendered((pair,)) for pair in pairs]


class CutText:
    """Pairs as text for a server that knows its model's prompt, cut here by that model's tokenizer to what fits."""

    takes_instruction = False
    probe: tuple[str, list[int]] | None = None

    def __init__(self, model: ModelSettings) -> None:
        _, self._tokenizer, digest = _tokenizers(model)
        self._max_tokens = model.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        self._max_tokens_per_doc = model.max_tokens_per_doc or self._max_tokens
        self.fingerprint = _digest(digest, str(model.max_tokens), str(model.max_tokens_per_doc))

    def canonical(self, reading: Reading) -> Reading:
        return replace(reading, instruction=None)

    def tokenizes(self, pairs: Sequence[Pair], reading: Reading) -> bool:
        """Not what is sure to fit: a token is at least a byte of UTF-8, a character at most four."""
        limit = min(self._max_tokens // 2, _limit(self._max_tokens_per_doc, 0, reading))
        return max(len(text) for pair in pairs for text in pair) * 4 > limit

    def render(self, pairs: Sequence[Pair], reading: Reading) -> list[Rendered]:
        if not self.tokenizes(pairs, reading):
            return [Rendered((pair,)) for pair in pairs]
        queries = {query: self._query(query) for query in {pair.query for pair in pairs}}
        pieces = self._tokenizer.encode_batch([pair.document for pair in pairs], add_special_tokens=False)
        return [
            self._fit(pair.document, piece.offsets, *queries[pair.query], reading)
            for pair, piece in zip(pairs, pieces, strict=True)
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
        reading: Reading,
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
}


def _limit(room: int, label: int, reading: Reading) -> int:
    """How many tokens a document's piece may have: what fits, or less where the caller asked for less."""
    per_doc = reading.max_tokens_per_doc
    return room if per_doc is None else min(room, label + per_doc)


def chunks(text: str, offsets: Sequence[tuple[int, int]], room: int, reading: Reading) -> tuple[list[str], int]:
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
