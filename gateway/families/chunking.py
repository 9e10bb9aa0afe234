"""A document that does not fit: cut, or read in overlapping chunks."""

from collections.abc import Sequence

from gateway.domain import ScoringOptions

# An eighth of a chunk repeats the end of the one before, so that a sentence on the border is whole in one of them.
OVERLAP = 8
# A slice of text may encode to a few tokens more than it had inside the whole: words are cut at both ends.
MARGIN_TOKENS = 8


def token_limit(room: int, label: int, options: ScoringOptions) -> int:
    """Tokens that a document and its label may have: what fits, or less where the caller asked for less."""
    per_doc = options.max_tokens_per_doc
    return room if per_doc is None else min(room, label + per_doc)


def chunks(text: str, offsets: Sequence[tuple[int, int]], room: int, options: ScoringOptions) -> tuple[list[str], int]:
    """The text in overlapping slices that fit into `room` tokens, and how many tokens no slice holds.

    offsets: begin and end of each token of the text, in characters.
    A slice is text, read like a document of its own, so that each is scored by the official recipe.
    """
    total = len(offsets)
    offsets = offsets[: options.max_tokens_per_doc]
    window = max(1, room - MARGIN_TOKENS)
    overlap = window // OVERLAP
    starts = range(0, max(1, len(offsets) - overlap), window - overlap)[: options.max_chunks_per_doc]
    ends = [min(start + window, len(offsets)) for start in starts]
    slices = [text[offsets[start][0] : offsets[end - 1][1]].strip() for start, end in zip(starts, ends, strict=True)]
    return slices, total - ends[-1]
