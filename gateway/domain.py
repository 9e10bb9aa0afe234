"""The words of the field, frozen: a request's pairs become scores, the scores a ranking. No I/O."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from gateway.errors import Field

Kind = Literal["image", "video"]


class Link(Struct, frozen=True):
    """A picture or video as the caller named it: a data URL, bare base64 or an address. It has no digest, so no key.

    where: the field inside its document or query, as `.image` or `.content[2]`.
    """

    kind: Kind
    url: str
    where: str


class Blob:
    """The bytes of a picture or video. Two are equal when kind and bytes are."""

    __slots__ = ("data", "digest", "kind")

    def __init__(self, kind: Kind, data: bytes) -> None:
        self.kind, self.data = kind, data
        self.digest = kind.encode() + blake2b(data, digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class Mixed(Struct, frozen=True):
    """Pictures and videos, in the order in which the model reads them, and the text that follows them."""

    text: str
    media: tuple[Link | Blob, ...]


# Text alone is a plain string: most requests hold a hundred of them.
Content = str | Mixed


def text_of(content: Content) -> str:
    """The text of a query or document, without its pictures and videos."""
    return content if isinstance(content, str) else content.text


def blobs_of(content: Content) -> list[Blob]:
    """The loaded pictures and videos of a query or document, in the order in which the model reads them."""
    return [] if isinstance(content, str) else [part for part in content.media if isinstance(part, Blob)]


def links_of(content: Content) -> list[Link]:
    """The pictures and videos of a query or document that are still to be loaded."""
    return [] if isinstance(content, str) else [part for part in content.media if isinstance(part, Link)]


class Pair(Struct, frozen=True):
    """One query and one document: the unit that is scored, cached and billed."""

    query: Content
    document: Content

    @property
    def is_text(self) -> bool:
        return isinstance(self.query, str) and isinstance(self.document, str)

    @property
    def blobs(self) -> list[Blob]:
        """The pictures and videos of both sides, the query's first."""
        return [*blobs_of(self.query), *blobs_of(self.document)]


class ScoringOptions(Struct, frozen=True):
    """The way a pair is read. Together with the pair and the engine's identity it decides the score.

    instruction: the task, for models that take one; None is the model's default.
    max_tokens_per_doc: a document is cut after so many tokens; None cuts only what does not fit.
    max_chunks_per_doc: a document that does not fit is read in up to so many overlapping chunks.
    fps, max_frames: frames of a video a second, and at most. max_pixels: of a picture or a frame, at most.
    Where these three are None the model's own hold.
    """

    instruction: str | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int = 1
    fps: float | None = None
    max_frames: int | None = None
    max_pixels: int | None = None


class Score(Struct, frozen=True, array_like=True, gc=False):
    """The engine's answer for a pair; the cache keeps it as it is.

    value: relevance in 0..1. tokens: how many the engine read. chunks: prompts scored, of which the best counts.
    cut, query_cut: tokens of the document and of the query left out.
    """

    value: float
    tokens: int = 0
    chunks: int = 1
    cut: int = 0
    query_cut: int = 0


class Refused(Struct, frozen=True):
    """This pair cannot be read, whoever asks. The rest of the request is ranked without it.

    code: of the error that it becomes where nothing else is left. part: index of the bad picture or video among those
    of the document, or of the query where `in_query`. It is an index, not a field name: callers who write the request
    differently share this result.
    """

    reason: str
    code: str
    part: int | None = None
    in_query: bool = False


Outcome = Score | Refused


class Span(Struct, frozen=True):
    """A stretch of a document that scores well on its own: `[start, end)` in Unicode code points."""

    start: int
    end: int
    score: float


class SpanOptions(Struct, frozen=True):
    """Spans a caller wants of every document returned: those above the threshold, so many at most."""

    threshold: float
    max_spans: int | None


class RerankRequest(Struct, frozen=True):
    """A request, in any dialect.

    priority: 0 is served first. no_store: scores are neither read from the cache nor kept in it.
    echo[i], when asked for, is what the answer repeats of document i. spans: when asked for; they are billed.
    """

    query: Content
    documents: Sequence[Content]
    model: str | None = None
    top_n: int | None = None
    options: ScoringOptions = ScoringOptions()
    strict: bool = False
    priority: int = 0
    no_store: bool = False
    echo: Sequence[Mapping[str, object]] | None = None
    spans: SpanOptions | None = None


class Ranked(Struct, frozen=True):
    """A document's place in a ranking: its index in the request, its score in 0..1, and its spans, best first.

    refused: it could not be read; its score is 0.0 and means nothing.
    """

    index: int
    score: float
    refused: bool = False
    spans: Sequence[Span] = ()


class Notice(Struct, frozen=True):
    """A warning for the caller, about a field of the request."""

    field: Field
    message: str


class Ranking(Struct, frozen=True):
    """The results, best first, and what they cost.

    model: the one that scored. tokens: read by the engine. chunks: prompts scored (billed). pairs: all that were
    scored. cached, cached_tokens: pairs, and their tokens, that cost the engine nothing.
    cut_documents, cut_tokens: documents that were cut, and their tokens left out. seconds: by stage, in order.
    """

    request: RerankRequest
    model: str
    results: Sequence[Ranked]
    tokens: int
    chunks: int
    pairs: int
    cached: int = 0
    cached_tokens: int = 0
    cut_documents: int = 0
    cut_tokens: int = 0
    notices: Sequence[Notice] = ()
    seconds: Mapping[str, float] = {}
