"""The sentences of a text, and the stretches of them that score well on their own."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.domain import Span, SpanOptions

MAX_SENTENCE_CHARS = 400
# Full stops with the quotes and brackets that close after them, or line ends. Possessive: no text makes it slow.
_END = re.compile(r"""[.!?。！？｡…]++["'”’»)\]」』）》】]*+|[；;]++|[\n\r\u2028\u2029]++""")
# These end a sentence without a space behind them.
_FULL_WIDTH = re.compile(r"[。！？｡；]")
_ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "gen", "col", "sen", "rep", "rev"),
    *("hon", "capt", "lt", "inc", "ltd", "co", "corp", "vs", "e.g", "i.e", "cf", "al", "figs", "ed"),
    *("eds", "approx", "est", "dept", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct"),
    *("nov", "dec"),
}
# These only before a number.
_NUMBERED = {"no", "nos", "fig", "p", "pp", "eq", "vol", "ch", "sec"}
_SOFT = re.compile(r"[,，、:：\s]")


class Sentence(NamedTuple):
    """A sentence's place, in Unicode code points: `[start, end)`."""

    start: int
    end: int


def sentences(text: str, limit: int) -> tuple[list[Sentence], bool]:
    """The first `limit` sentences, without the space around them, and True if there are more."""
    found: list[Sentence] = []
    # More than so many full sentences take: a text without sentences must not be read on and on.
    most = (limit + 1) * MAX_SENTENCE_CHARS
    for start, end in _bounds(text[:most]):
        for piece in _pieces(text, start, end):
            if len(found) == limit:
                return found, True
            found.append(piece)
    return found, len(text) > most


def join_relevant(text: str, scored: Sequence[tuple[Sentence, float]], options: SpanOptions) -> list[Span]:
    """Sentences above the threshold, neighbours joined with the better one's score; best first."""
    spans: list[Span] = []
    for (start, end), score in scored:
        if score <= options.threshold:
            continue
        if spans and not text[spans[-1].end : start].strip():
            before = spans[-1]
            spans[-1] = Span(before.start, end, max(before.score, score))
        else:
            spans.append(Span(start, end, score))
    return sorted(spans, key=lambda span: -span.score)[: options.max_spans]


def _bounds(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            yield start, match.end()
            start = match.end()
    yield start, len(text)


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    mark, end = match[0], match.end()
    follows = text[end : end + 1]
    if mark[0] in "\n\r\u2028\u2029":
        # A line that goes on in lower case was wrapped.
        return not follows.islower()
    if _FULL_WIDTH.match(mark):
        return True
    if mark[0] == ";" or (follows and not follows.isspace() and (mark[0] in ".…" or follows.isascii())):
        return False  # 3.14, example.org, wait…what
    after = text[end : end + 8].lstrip()[:1]
    if after.islower():
        return False
    return mark != "." or not _abbreviates(text, start, match.start(), after)


def _abbreviates(text: str, start: int, dot: int, after: str) -> bool:
    """True for the dots of Dr. Smith, J. Smith, No. 5, and of the number that opens a line: 3. Wash it."""
    before = text[max(start, dot - 12) : dot].split()
    word = before[-1].lstrip("(\"'“[") if before else ""
    if word.lower() in _NUMBERED:
        return after.isdigit()
    initial = len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
    opens = word.isdigit() and not text[start : dot - len(word)].strip()
    return initial or opens or word.lower() in _ABBREVIATIONS


def _pieces(text: str, start: int, end: int) -> Iterator[Sentence]:
    """A sentence in pieces of bounded length, cut at its pauses. Pieces without a letter or digit are left out."""
    while start < end:
        stop = end
        if end - start > MAX_SENTENCE_CHARS:
            pauses = list(_SOFT.finditer(text, start + MAX_SENTENCE_CHARS // 2, start + MAX_SENTENCE_CHARS))
            stop = pauses[-1].end() if pauses else start + MAX_SENTENCE_CHARS
        piece = text[start:stop]
        if any(character.isalnum() for character in piece):
            yield Sentence(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))
        start = stop
