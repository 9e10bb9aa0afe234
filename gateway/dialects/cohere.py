"""Cohere's Rerank API, v1 and v2, as its real clients speak it: generous in what it reads, exact in what it writes."""

from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import Any, Literal

import msgspec

from gateway.dialects.base import Reply, Schemas
from gateway.dialects.content import Document, content_of, echo_of
from gateway.domain import Ranking, RerankRequest, ScoringOptions, Span, SpanOptions
from gateway.errors import BadRequest, Field, RerankError, Unreadable
from gateway.validation import field_first

MAX_CHUNKS = 10_000
DEFAULT_THRESHOLD = 0.1
# Real clients' paths end in these, whatever stands before.
LAST_SEGMENTS = frozenset({"rerank", "reranks", "reranking", "rerankings", "ranking", "text-rerank"})
VERSIONS = ("v1", "v2")
# Errors of these fields are told without "invalid request" where it is their text that cannot be read.
UNPREFIXED = ("documents", "instruction", "text")
# Cohere's own words, by the code of an error.
WORDS = {
    "query_empty": "invalid request: query must not be empty or be only whitespace",
    "documents_empty": "invalid request: list of documents must not be empty",
    "invalid_json": "invalid json syntax: {}",
    "model_not_found": "{}, make sure the correct model ID was used",
    "engine_not_launched": "{}",
}


class RelevantSpans(msgspec.Struct):
    """Asks for the sentences that made a document relevant, scored one by one; the defaults are Cohere's."""

    mode: Literal["enabled", "disabled"]
    threshold: float | None = None
    max_spans: int | None = None


class Body(msgspec.Struct):
    """A rerank request. Absent and null are the same; what is not named here is ignored."""

    query: Document
    documents: list[Document]
    model: str | None = None
    top_n: int | None = None
    top_k: int | None = None
    rank_fields: list[str] | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None
    fps: float | None = None
    max_frames: int | None = None
    max_pixels: int | None = None
    instruction: str | None = None
    instruct: str | None = None
    strict: bool | None = None
    priority: int | None = None
    cache: str | None = None
    relevant_spans: RelevantSpans | None = None


class Result(msgspec.Struct, omit_defaults=True):
    """A document's place. Elasticsearch refuses any other key here, LiteLLM a null."""

    index: int
    relevance_score: float
    document: Mapping[str, Any] | msgspec.UnsetType = msgspec.UNSET
    relevant_spans: Sequence[Span] | msgspec.UnsetType = msgspec.UNSET


class ApiVersion(msgspec.Struct):
    """The version that a path asked for."""

    version: str
    is_experimental: bool = False


class BilledUnits(msgspec.Struct):
    """One search unit is one query with up to 100 documents (or chunks of them); clients read it as an int."""

    search_units: int


class TokenCount(msgspec.Struct):
    """Tokens that the engine read; a reranker writes none."""

    input_tokens: int
    output_tokens: int = 0


class Meta(msgspec.Struct, omit_defaults=True):
    """`served_by` is the model that gave the scores, whatever name it was asked by.

    `cached_pairs` and `cached_tokens` cost the engine nothing this time; `tokens` counts them all the same.
    """

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: TokenCount
    served_by: str
    cached_pairs: int
    cached_tokens: int
    warnings: list[str] = []


class Usage(msgspec.Struct):
    """The same count, as OpenAI's and Jina's clients read it."""

    prompt_tokens: int
    total_tokens: int


class Answer(msgspec.Struct):
    """The superset of what Cohere's, Jina's, vLLM's and LiteLLM's clients read; results best first."""

    id: str
    results: list[Result]
    meta: Meta
    model: str
    usage: Usage
    object: str = "list"


class ErrorBody(msgspec.Struct):
    """Cohere's clients show `message`, Jina's `detail`: the same text. `code` is for programs, and stable."""

    id: str
    message: str
    detail: str
    code: str


class Cohere:
    """One version of the API; they differ in how a long document is read when the caller does not say."""

    def __init__(self, version: str, *, max_tokens_per_doc: int | None, max_chunks_per_doc: int) -> None:
        self.name = f"cohere-v{version}"
        long = f"read in up to {max_chunks_per_doc} chunks" if max_tokens_per_doc is None else "cut"
        self.schemas = Schemas(
            {f"/v{version}/rerank": f"Rank documents; a long one is {long}"}, Body, Answer, ErrorBody
        )
        self._version = ApiVersion(version)
        self._max_tokens_per_doc = max_tokens_per_doc
        self._max_chunks_per_doc = max_chunks_per_doc
        self._decoder = msgspec.json.Decoder(Body, strict=False)

    def matches(self, segments: Sequence[str], headers: Mapping[str, str]) -> bool:
        """The last version in the path counts, for SDKs append `/v2/rerank` to bases that end in `/v1`."""
        if not segments or segments[-1] not in LAST_SEGMENTS:
            return False
        version = next((segment for segment in reversed(segments) if segment in VERSIONS), VERSIONS[0])
        return version == f"v{self._version.version}"

    def parse(self, body: bytes) -> RerankRequest:
        try:
            asked = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise BadRequest(field_first(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(_json_fault(error), code="invalid_json") from None
        echo = [echo_of(document) for document in asked.documents] if asked.return_documents else None
        return RerankRequest(
            query=content_of(asked.query, Field("query")),
            documents=[
                one if isinstance(one, str) else content_of(one, Field("documents", index), asked.rank_fields)
                for index, one in enumerate(asked.documents)
            ],
            model=asked.model or None,
            top_n=_top_n(asked),
            options=self._options(asked),
            strict=bool(asked.strict),
            priority=max(0, asked.priority or 0),
            no_store=(asked.cache or "").strip().lower() == "no-store",
            echo=echo,
            spans=_spans(asked.relevant_spans),
        )

    def render(self, request_id: str, result: Ranking | RerankError) -> Reply:
        if isinstance(result, RerankError):
            message = _worded(result)
            return Reply(result.status, {}, msgspec.json.encode(ErrorBody(request_id, message, message, result.code)))
        return Reply(200, {}, msgspec.json.encode(self._answer(request_id, result)))

    def _answer(self, request_id: str, ranking: Ranking) -> Answer:
        echo = ranking.request.echo
        results = [
            Result(
                ranked.index,
                ranked.score,
                echo[ranked.index] if echo is not None else msgspec.UNSET,
                ranked.spans or msgspec.UNSET,
            )
            for ranked in ranking.results
        ]
        meta = Meta(
            self._version,
            BilledUnits(ceil(ranking.chunks / 100)),
            TokenCount(ranking.tokens),
            ranking.model,
            ranking.cached,
            ranking.cached_tokens,
            [f"{notice.field.named({})}: {notice.message}" for notice in ranking.notices],
        )
        usage = Usage(ranking.tokens, ranking.tokens)
        return Answer(request_id, results, meta, ranking.request.model or ranking.model, usage)

    def _options(self, asked: Body) -> ScoringOptions:
        for name in ("max_tokens_per_doc", "max_chunks_per_doc", "max_frames", "max_pixels"):
            value = getattr(asked, name)
            if value is not None and value < 1:
                raise BadRequest("must be at least 1", field=Field(name))
        if asked.fps is not None and not 0 < asked.fps < inf:
            raise BadRequest("must be above 0", field=Field("fps"))
        if asked.max_chunks_per_doc and asked.max_chunks_per_doc * len(asked.documents) > MAX_CHUNKS:
            raise BadRequest(
                f"number of total max chunks (number of documents * max chunks per doc) must be at most {MAX_CHUNKS}"
            )
        return ScoringOptions(
            asked.instruction or asked.instruct or None,
            asked.max_tokens_per_doc or self._max_tokens_per_doc,
            # The default bends to the limit instead of refusing what the caller never asked for.
            asked.max_chunks_per_doc
            or max(1, min(self._max_chunks_per_doc, MAX_CHUNKS // max(1, len(asked.documents)))),
            asked.fps,
            asked.max_frames,
            asked.max_pixels,
        )


# v1 splits a long document into chunks and takes the best, v2 reads its beginning: Cohere's defaults.
V1 = Cohere("1", max_tokens_per_doc=None, max_chunks_per_doc=10)
V2 = Cohere("2", max_tokens_per_doc=4096, max_chunks_per_doc=1)


def _top_n(asked: Body) -> int | None:
    """A positive number, else all: vLLM's clients send 0 for that, langchain null."""
    top_n = asked.top_n if asked.top_n is not None else asked.top_k
    return top_n if top_n is not None and top_n > 0 else None


def _spans(asked: RelevantSpans | None) -> SpanOptions | None:
    if asked is None or asked.mode == "disabled":
        return None
    threshold = DEFAULT_THRESHOLD if asked.threshold is None else asked.threshold
    if not 0 <= threshold <= 1:
        raise BadRequest("must be from 0 to 1", field=Field("relevant_spans", None, ".threshold"))
    if asked.max_spans is not None and asked.max_spans < 1:
        raise BadRequest("must be at least 1", field=Field("relevant_spans", None, ".max_spans"))
    return SpanOptions(threshold, asked.max_spans)


def _worded(error: RerankError) -> str:
    """An error as Cohere words it: a fault of the request is an invalid one, unless a text itself cannot be read."""
    if error.code in WORDS:
        return WORDS[error.code].format(error)
    message = str(error) if error.field is None else f"{error.field.named({})}: {error}"
    unreadable = isinstance(error, Unreadable) and error.field is not None and error.field.name in UNPREFIXED
    return message if unreadable or not isinstance(error, BadRequest) else f"invalid request: {message}"


def _json_fault(error: Exception) -> str:
    """The fault, and its place where that is known, never the text itself."""
    if isinstance(error, RecursionError):
        return "too deeply nested"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
