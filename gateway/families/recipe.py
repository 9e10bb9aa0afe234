"""Recipes that are data: a prompt as a list of runs, each encoded alone, and the meaning of the logit."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from gateway.domain import Blob, Pair, Refused, ScoringOptions, text_of
from gateway.errors import Field, Unreadable
from gateway.families.base import Flags, Probe, Rendered, Unit, Wire, relevance
from gateway.families.chunking import chunks, token_limit
from gateway.families.tokenizer import Tokenizers, digest_of, first_tokens, ids_of, leading_ids, tokenizers_of
from gateway.media.vision import Prepared, VisionProfile
from gateway.settings import ModelSettings, SettingsError

WIRES: Mapping[type, Wire] = {list: Wire.TOKEN_IDS}
# Texts that tokenise differently: ids that all share before (or behind) them belong to the template alone. The end is
# found with the first two, as Sentence Transformers 6.2 does to restore a suffix that truncation cut off.
FILLERS = ("0", "1 2 3 4", "a", "中")
# Words for a prompt that the engine is asked to tokenise as one text.
PROBES = (("a", "b"), ("0", "1"), ("What is it?", "It is a word."))


class Slot(Enum):
    """A place for a caller's text."""

    INSTRUCTION = "{instruction}"
    QUERY = "{query}"
    DOCUMENT = "{document}"


class Start(NamedTuple):
    """A run: the tokens that the tokenizer itself puts before a text."""


class Control(NamedTuple):
    """A run of template text, in which control tokens are obeyed."""

    text: str


class Ids(NamedTuple):
    """A run of token ids that no text gives."""

    ids: tuple[int, ...]


class Text(NamedTuple):
    """A run of template and callers' texts, encoded as one text in which nothing is obeyed."""

    parts: tuple[str | Slot, ...]

    def filled(self, texts: Mapping[Slot, str]) -> str:
        return "".join(part if isinstance(part, str) else texts[part] for part in self.parts)


Run = Start | Control | Ids | Text
START = Start()


def text(template: str) -> Text:
    """The run of a template with slots: `query: {query}`."""
    pieces = re.split(r"(\{instruction\}|\{query\}|\{document\})", template)
    return Text(tuple(Slot(piece) if place % 2 else piece for place, piece in enumerate(pieces) if piece))


class Recipe(NamedTuple):
    """A prompt and its score, sigmoid((logit - mean) / sigma).

    instructed: the runs for a request with an instruction; None where the model takes none.
    query_share: numerator and denominator of the tokens that the query's run may have of the author's length limit.
    outside: times that the runs before the query and those behind the document count beside that limit.
    trimmed: the texts whose spaces at both ends are left out. score_tokens: those whose logits the engine subtracts,
    where a file names them.
    """

    runs: tuple[Run, ...]
    instructed: tuple[Run, ...] | None = None
    instruction: str | None = None
    query_share: tuple[int, int] = (1, 2)
    outside: tuple[int, int] = (0, 0)
    mean: float = 0.0
    sigma: float = 1.0
    flags: Flags = Flags.UNSEEN
    trimmed: frozenset[Slot] = frozenset()
    score_tokens: tuple[int | None, ...] = ()


class Frame(NamedTuple):
    """Everything but the document: ids before and behind its run, and the text around it within its run.

    label: tokens of the run before the document. end: ids of the run behind it, which a cut leaves whole.
    """

    head: list[int]
    before: str
    label: int
    after: str
    end: list[int]
    tail: list[int]
    query_cut: int


class RecipeFamily:
    """Token ids of a recipe's prompt. Only the document is cut, and a query beyond its share.

    Control tokens in a caller's text are read as text: they stand only where the template puts them.
    """

    multimodal: VisionProfile | None = None
    unit = Unit.PAIR
    wire = WIRES

    def __init__(self, model: ModelSettings, recipe: Recipe, tokenizers: Tokenizers | None = None) -> None:
        self._control, self._text, digest = tokenizers or tokenizers_of(model)
        self.takes_instruction = recipe.instructed is not None
        if model.instruction and not self.takes_instruction:
            raise SettingsError(f"instruction: a model of the family {model.family} takes none")
        self.flags = recipe.flags
        self._recipe = recipe
        self._start = leading_ids(self._control) if START in recipe.runs else []
        self._instruction = model.instruction or recipe.instruction
        self._mean = recipe.mean if model.logit_mean is None else model.logit_mean
        self._sigma = recipe.sigma if model.logit_sigma is None else model.logit_sigma
        self._max_tokens = model.max_tokens
        self._limit = model.max_tokens - self._outside()
        self._query_limit = self._limit * recipe.query_share[0] // recipe.query_share[1]
        self._max_tokens_per_doc = model.max_tokens_per_doc or model.max_tokens
        limits = f"{self._max_tokens}/{self._max_tokens_per_doc}"
        parts = (recipe.runs, recipe.instructed, recipe.query_share, recipe.outside, sorted(map(str, recipe.trimmed)))
        prompt = repr((parts, recipe.score_tokens))
        self.fingerprint = digest_of(digest, prompt, repr(self._instruction), limits, f"{self._mean!r}/{self._sigma!r}")
        self.probe: Probe | None = self._probe()
        if self._query_limit + self._template_tokens() >= model.max_tokens:
            raise SettingsError(f"max_tokens: {model.max_tokens} leave no room for a document")

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        instruction = (options.instruction or self._instruction) if self.takes_instruction else None
        return ScoringOptions(instruction, options.max_tokens_per_doc, options.max_chunks_per_doc)

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return await asyncio.to_thread(self.render_texts, pairs, options)

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        return relevance(raw, self._mean, self._sigma)

    def render_texts(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Rendered]:
        """One Rendered per pair of texts, in order."""
        instruction = self.canonical(options).instruction
        texts = [
            (self._trimmed(Slot.QUERY, text_of(pair.query)), self._trimmed(Slot.DOCUMENT, text_of(pair.document)))
            for pair in pairs
        ]
        frames = {query: self._frame(query, instruction) for query in {query for query, _ in texts}}
        pieces = self._text.encode_batch_fast(
            [frames[query].before + document + frames[query].after for query, document in texts],
            add_special_tokens=False,
        )
        return [
            self._fit(document, piece.ids, frames[query], options)
            for (query, document), piece in zip(texts, pieces, strict=True)
        ]

    def _outside(self) -> int:
        """Tokens of the template that the author's length limit does not count."""
        runs = self._recipe.runs
        query = next(place for place, run in enumerate(runs) if isinstance(run, Text) and Slot.QUERY in run.parts)
        document = next(place for place, run in enumerate(runs) if isinstance(run, Text) and Slot.DOCUMENT in run.parts)
        before, after = (
            sum(len(self._fixed(run)) for run in part if not isinstance(run, Text))
            for part in (runs[:query], runs[document + 1 :])
        )
        return self._recipe.outside[0] * before + self._recipe.outside[1] * after

    def _template_tokens(self) -> int:
        try:
            frame = self._frame("", self._instruction)
        except Unreadable:
            raise SettingsError("max_tokens: the prompt leaves no room for a document") from None
        return len(frame.head) + frame.label + len(frame.end) + len(frame.tail)

    def _fixed(self, run: Start | Control | Ids) -> list[int]:
        if isinstance(run, Control):
            return ids_of(self._control, run.text)
        return self._start if isinstance(run, Start) else list(run.ids)

    def _frame(self, query: str, instruction: str | None) -> Frame:
        """The prompt around a document. Raises Unreadable where the instruction leaves no room for more."""
        texts = {Slot.QUERY: query, Slot.INSTRUCTION: self._trimmed(Slot.INSTRUCTION, instruction or "")}
        sides: tuple[list[int], list[int]] = ([], [])
        around: Text | None = None
        query_cut = 0
        for run in self._runs(instruction):
            side = sides[0 if around is None else 1]
            if not isinstance(run, Text):
                side += self._fixed(run)
            elif Slot.DOCUMENT in run.parts:
                around = run
            elif Slot.QUERY in run.parts:
                ids, query_cut = self._query_ids(run, texts)
                side += ids
            else:
                side += ids_of(self._text, run.filled(texts))
        assert around is not None
        if Slot.QUERY in around.parts:
            texts[Slot.QUERY], query_cut = first_tokens(self._text, query, self._query_limit)
        place = around.parts.index(Slot.DOCUMENT)
        before, after = Text(around.parts[:place]).filled(texts), Text(around.parts[place + 1 :]).filled(texts)
        label, end = self._ends(before, after)
        frame = Frame(sides[0], before, label, after, end, sides[1], query_cut)
        if len(frame.head) + label + len(end) + len(frame.tail) >= self._max_tokens:
            raise _no_room()
        return frame

    def _query_ids(self, run: Text, texts: Mapping[Slot, str]) -> tuple[list[int], int]:
        """The query's run, cut within the query to its share, and the tokens left out."""
        ids = ids_of(self._text, run.filled(texts))
        surplus = len(ids) - self._query_limit
        if surplus <= 0:
            return ids, 0
        place = run.parts.index(Slot.QUERY)
        label, end = self._ends(Text(run.parts[:place]).filled(texts), Text(run.parts[place + 1 :]).filled(texts))
        if label + len(end) >= self._query_limit:
            raise _no_room()
        return ids[: self._query_limit - len(end)] + end, surplus

    def _ends(self, before: str, after: str) -> tuple[int, list[int]]:
        """Tokens that a run has before a text, and the ids that it has behind it, whatever that text is."""
        runs = [ids_of(self._text, before + filler + after) for filler in FILLERS]
        behind = _common(runs[0][::-1], runs[1][::-1]) if after else 0
        return min(_common(runs[0], run) for run in runs[1:]), runs[0][len(runs[0]) - behind :]

    def _fit(self, document: str, ids: list[int], frame: Frame, options: ScoringOptions) -> Rendered:
        """The prompt of one document, or those of its chunks. ids: of its run, uncut."""
        room = min(self._max_tokens - len(frame.head) - len(frame.tail), self._limit)
        label = frame.label + len(frame.end)
        room = min(room, label + self._max_tokens_per_doc)
        limit = token_limit(room, label, options)
        if len(ids) <= limit or options.max_chunks_per_doc == 1 or limit < room:
            return Rendered((_prompt(frame, ids, limit),), max(0, len(ids) - limit), frame.query_cut)
        offsets = self._text.encode(document, add_special_tokens=False).offsets
        texts, cut = chunks(document, offsets, room - label, options)
        pieces = self._text.encode_batch_fast(
            [frame.before + chunk + frame.after for chunk in texts], add_special_tokens=False
        )
        return Rendered([_prompt(frame, piece.ids, room) for piece in pieces], cut, frame.query_cut)

    def reads(self, texts: Mapping[Slot, str], whole: str) -> bool:
        """True when the prompt of these texts has the ids that the model's own tokenizer gives for it as one text."""
        return ids_of(self._control, whole) == self._pieces(texts)[1]

    def _probe(self) -> Probe | None:
        """A prompt that has the same ids as one text as in pieces; a text alone where none of a few has."""
        for query, document in PROBES:
            texts = {Slot.QUERY: query, Slot.DOCUMENT: document}
            if instruction := self.canonical(ScoringOptions()).instruction:
                texts[Slot.INSTRUCTION] = instruction
            whole, ids = self._pieces(texts)
            if ids_of(self._control, whole) == ids:
                return Probe(whole, ids)
        alone = PROBES[-1][0]
        return Probe(alone, ids_of(self._control, alone))

    def _pieces(self, texts: Mapping[Slot, str]) -> tuple[str, list[int]]:
        """The prompt of texts as one text, and its ids run by run; both without what no text gives."""
        runs = self._runs(texts.get(Slot.INSTRUCTION))
        texts = {slot: self._trimmed(slot, text) for slot, text in texts.items()}
        whole, ids = "", list[int]()
        for run in runs:
            if isinstance(run, Control):
                whole += run.text
                ids += ids_of(self._control, run.text)
            elif isinstance(run, Text):
                whole += run.filled(texts)
                ids += ids_of(self._text, run.filled(texts))
        return whole, ids

    def _runs(self, instruction: str | None) -> tuple[Run, ...]:
        return self._recipe.runs if instruction is None else self._recipe.instructed or self._recipe.runs

    def _trimmed(self, slot: Slot, text: str) -> str:
        return text.strip() if slot in self._recipe.trimmed else text


def _prompt(frame: Frame, ids: list[int], limit: int) -> list[int]:
    """The whole prompt, its document cut so that the run has at most `limit` tokens.

    A run of just as many has its end written anew too, as Sentence Transformers 6.2 does.
    """
    if len(ids) >= limit:
        ids = ids[: limit - len(frame.end)] + frame.end
    return frame.head + ids + frame.tail


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Ids that two lists share at their beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )


def _no_room() -> Unreadable:
    return Unreadable(
        "too long, it leaves no room for a document", code="instruction_too_long", field=Field("instruction")
    )
