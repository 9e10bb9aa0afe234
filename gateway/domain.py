"""The words of the field, frozen: a request's pairs become scores, the scores a ranking. No I/O.

What is made a hundred times a request is a named tuple: a frozen dataclass takes four times as long to make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple

from gateway.errors import BadRequest

Kind = Literal["image", "video"]


class Link(NamedTuple):
    """A picture or video as the caller named it: a data URL, bare base64 or an address. It has no digest, so no key.

    where: the field it came from, as `.image` or `.content[2]`.
    """

    kind: Kind
    url: str
    where: str


class Blob:
    """A picture's or video's bytes as they came; equal where kind and bytes are."""

    __slots__ = ("data", "digest", "kind")

    def __init__(self, kind: Kind, data: bytes) -> None:
        self.kind, self.data = kind, data
        self.digest = kind.encode() + blake2b(data, digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


Part = str | Link | Blob
# Text alone is a plain string: it is what most requests hold a hundred times.
Content = str | tuple[Part, ...]


class Pair(NamedTuple):
    """One query and one document: the unit that is scored, cached and billed."""

    query: Content
    document: Content

    @property
    def is_text(self) -> bool:
        return isinstance(self.query, str) and isinstance(self.document, str)


def text_of(content: Content) -> str:
    """Its text, without pictures and videos; there is one piece at most."""
    return content if isinstance(content, str) else next((part for part in content if isinstance(part, str)), "")


def blobs_of(content: Content) -> list[Blob]:
    """Its pictures and videos, in the order in which the model reads them."""
    return [] if isinstance(content, str) else [part for part in content if isinstance(part, Blob)]


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How a pair is to be read; with the pair and the engine's identity it decides the score.

    instruction: the task, for models that take one; None is the model's default.
    max_tokens_per_doc: a document is cut after so many tokens; None cuts only what does not fit.
    max_chunks_per_doc: a document that does not fit is read in up to so many overlapping chunks.
    fps, max_frames: how a video is sampled, per second and at most. max_pixels: of a picture or a frame, at most.
    Where they are None the model's own hold.
    """

    instruction: str | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int = 1
    fps: float | None = None
    max_frames: int | None = None
    max_pixels: int | None = None


class Score(NamedTuple):
    """What the engine says of a pair.

    value: relevance in 0..1. tokens: how many the engine read. chunks: prompts scored, of which the best counts.
    cut, query_cut: tokens of the document and of the query left out.
    """

    value: float
    tokens: int = 0
    chunks: int = 1
    cut: int = 0
    query_cut: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """This pair cannot be read, whoever asks; the rest of the request is ranked without it.

    part: which part of the document cannot, or of the query where in_query: it then stands in every pair. A number, and
    not the field's name: who asked for the same pair in another shape shares this.
    """

    reason: str
    part: int | None = None
    in_query: bool = False


Outcome = Score | Refused


class Span(NamedTuple):
    """A stretch of a document that scores well on its own: `[start, end)` in Unicode code points."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SpansAsked:
    """Which spans a caller wants of every document returned: those above the threshold, so many at most."""

    threshold: float
    max_spans: int | None


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """What any dialect asks for.

    priority: 0 is served first. fresh: neither read from the cache nor kept in it.
    returned[i], when asked for, is what the answer says of document i. spans: asked for as well, and billed.
    """

    query: Content
    documents: Sequence[Content]
    model: str | None = None
    top_n: int | None = None
    reading: ScoringOptions = ScoringOptions()
    strict: bool = False
    priority: int = 0
    fresh: bool = False
    returned: Sequence[Mapping[str, object]] | None = None
    spans: SpansAsked | None = None

    @property
    def links(self) -> list[Link]:
        """Every picture and video it names, the query's first."""
        mixed = [content for content in (self.query, *self.documents) if not isinstance(content, str)]
        return [part for content in mixed for part in content if isinstance(part, Link)]


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """The ranking, best first, and what it cost.

    ranking: each document's index in the request, and its score.
    model: the one that scored. tokens: read by the engine. chunks: prompts scored (billed).
    cached, cached_tokens: pairs, and their tokens, that cost the engine nothing.
    cut_documents, cut_tokens: what truncation left out of documents. warnings: for the caller, in words.
    seconds: by stage, in the order they were passed. spans: of the documents that have any; pairs: all that were
    scored for that and for the ranking.
    """

    model: str
    ranking: Sequence[tuple[int, float]]
    tokens: int
    chunks: int
    pairs: int
    cached: int = 0
    cached_tokens: int = 0
    cut_documents: int = 0
    cut_tokens: int = 0
    warnings: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    spans: Mapping[int, Sequence[Span]] = field(default_factory=dict)


def check(request: RerankRequest, *, max_documents: int) -> None:
    """The limits that hold in every dialect. Raises BadRequest with Cohere's own words where it has them."""
    if not (request.query.strip() if isinstance(request.query, str) else request.query):
        raise BadRequest("invalid request: query must not be empty or be only whitespace")
    if not request.documents:
        raise BadRequest("invalid request: list of documents must not be empty")
    if len(request.documents) > max_documents:
        raise BadRequest(
            f"invalid request: documents: {len(request.documents)} given, at most {max_documents} are allowed"
        )


def rank(outcomes: Sequence[Outcome], top_n: int | None) -> list[tuple[int, float]]:
    """Best first, ties by index, what was refused last with 0.0; `top_n` None is all."""
    values = [outcome.value if isinstance(outcome, Score) else -1.0 for outcome in outcomes]
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)  # stable: ties keep the index order
    return [(index, value if (value := values[index]) > 0.0 else 0.0) for index in order[:top_n]]
