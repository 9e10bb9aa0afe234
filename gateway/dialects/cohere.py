"""Cohere's Rerank API, v1 and v2, as its real clients speak it: generous in what it reads, exact in what it writes."""

from collections.abc import Mapping
from math import ceil, inf
from typing import Any, Literal

import msgspec
import yaml

from gateway.domain import Content, Kind, Link, RerankRequest, RerankResponse, ScoringOptions, SpansAsked
from gateway.errors import BadRequest, RerankError
from gateway.validation import field_first

# libyaml's writer where PyYAML was built with it: 10,000 documents of ten fields in 2 s instead of 12.
YamlDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# In the order in which the official recipe puts them before the text.
MEDIA: tuple[Kind, ...] = ("video", "image")
# What content parts are called by vLLM's, OpenAI's and Qwen's clients.
PARTS: dict[str, Kind] = {"image_url": "image", "video_url": "video", "image": "image", "video": "video"}
MAX_CHUNKS = 10_000
DEFAULT_THRESHOLD = 0.1

Document = str | dict[str, Any]


class RelevantSpans(msgspec.Struct):
    """Whether the sentences that made a document relevant are wanted, scored one by one; defaults are Cohere's."""

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


class RelevantSpan(msgspec.Struct):
    """`[start, end)` of the document's text, in Unicode code points."""

    start: int
    end: int
    score: float


class Result(msgspec.Struct, omit_defaults=True):
    """A document's place. Elasticsearch refuses any other key here, LiteLLM a null."""

    index: int
    relevance_score: float
    document: Mapping[str, Any] | msgspec.UnsetType = msgspec.UNSET
    relevant_spans: list[RelevantSpan] | msgspec.UnsetType = msgspec.UNSET


class ApiVersion(msgspec.Struct):
    version: str
    is_experimental: bool = False


class BilledUnits(msgspec.Struct):
    """One search unit is one query with up to 100 documents (or chunks of them); clients read it as an int."""

    search_units: int


class TokenCount(msgspec.Struct):
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
    """`message` is what Cohere's clients show, `detail` what Jina's do: the same text."""

    id: str
    message: str
    detail: str


class Cohere:
    """One version of the API; they differ in how a long document is read when the caller does not say."""

    def __init__(self, version: str, *, max_tokens_per_doc: int | None, max_chunks_per_doc: int) -> None:
        self.name = f"cohere-v{version}"
        self._version = ApiVersion(version)
        self._max_tokens_per_doc = max_tokens_per_doc
        self._max_chunks_per_doc = max_chunks_per_doc
        self._decoder = msgspec.json.Decoder(Body, strict=False)

    def parse(self, body: bytes) -> RerankRequest:
        try:
            asked = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise BadRequest(f"invalid request: {field_first(str(error))}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"invalid json syntax: {_json_fault(error)}") from None
        returned = [_returned(document) for document in asked.documents] if asked.return_documents else None
        return RerankRequest(
            query=_content(asked.query, None, "query"),
            documents=[
                one if isinstance(one, str) else _content(one, asked.rank_fields, f"documents[{index}]")
                for index, one in enumerate(asked.documents)
            ],
            model=asked.model or None,
            top_n=_top_n(asked),
            reading=self._reading(asked),
            strict=bool(asked.strict),
            priority=max(0, asked.priority or 0),
            fresh=(asked.cache or "").strip().lower() == "no-store",
            returned=returned,
            spans=_spans(asked.relevant_spans),
        )

    def render(self, request_id: str, request: RerankRequest, response: RerankResponse) -> bytes:
        returned = request.returned
        results = [
            Result(document, score, returned[document] if returned is not None else msgspec.UNSET)
            for document, score in response.ranking
        ]
        for result in results if response.spans else ():
            if spans := response.spans.get(result.index):
                result.relevant_spans = [RelevantSpan(*span) for span in spans]
        meta = Meta(
            self._version,
            BilledUnits(ceil(response.chunks / 100)),
            TokenCount(response.tokens),
            response.model,
            response.cached,
            response.cached_tokens,
            list(response.warnings),
        )
        usage = Usage(response.tokens, response.tokens)
        return msgspec.json.encode(Answer(request_id, results, meta, request.model or response.model, usage))

    def render_error(self, request_id: str, error: RerankError) -> bytes:
        return msgspec.json.encode(ErrorBody(request_id, str(error), str(error)))

    def _reading(self, asked: Body) -> ScoringOptions:
        for field in ("max_tokens_per_doc", "max_chunks_per_doc", "max_frames", "max_pixels"):
            value = getattr(asked, field)
            if value is not None and value < 1:
                raise BadRequest(f"invalid request: {field}: must be at least 1")
        if asked.fps is not None and not 0 < asked.fps < inf:
            raise BadRequest("invalid request: fps: must be above 0")
        if asked.max_chunks_per_doc and asked.max_chunks_per_doc * len(asked.documents) > MAX_CHUNKS:
            raise BadRequest(
                "invalid request: number of total max chunks (number of documents * max chunks per doc) "
                f"must be at most {MAX_CHUNKS}"
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


def _spans(asked: RelevantSpans | None) -> SpansAsked | None:
    if asked is None or asked.mode == "disabled":
        return None
    threshold = DEFAULT_THRESHOLD if asked.threshold is None else asked.threshold
    if not 0 <= threshold <= 1:
        raise BadRequest("invalid request: relevant_spans.threshold: must be from 0 to 1")
    if asked.max_spans is not None and asked.max_spans < 1:
        raise BadRequest("invalid request: relevant_spans.max_spans: must be at least 1")
    return SpansAsked(threshold, asked.max_spans)


def _content(document: Document, rank_fields: list[str] | None, where: str) -> Content:
    """What the model reads: text and media, or the fields that matter, in order. Raises BadRequest for other shapes."""
    if isinstance(document, str):
        return document
    if rank_fields:
        return "\n".join(_plain(document[field]) for field in rank_fields if document.get(field) is not None)
    if isinstance(document.get("content"), list):
        return _mixed(*_read_parts(document["content"], where))
    # A product record may well have a field called image: only what has nothing else is a picture.
    if document.keys() <= {"text", *MEDIA} and any(document.get(kind) is not None for kind in MEDIA):
        texts = [_plain(text) for text in _listed(document.get("text"))]
        links = [
            _link(kind, source, where, f".{kind}[{place}]" if isinstance(document[kind], list) else f".{kind}")
            for kind in MEDIA
            for place, source in enumerate(_listed(document.get(kind)))
        ]
        return _mixed(texts, links)
    text = document.get("text")
    if text is not None:
        return _plain(text)
    fields = {key: value for key, value in document.items() if value is not None}
    return _yaml(fields) if fields else ""


def _read_parts(parts: list[Any], where: str) -> tuple[list[str], list[Link]]:
    """vLLM's and OpenAI's content parts."""
    texts: list[str] = []
    links: list[Link] = []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in PARTS:
            links.append(_link(PARTS[kind], part.get(kind), where, f".content[{index}]"))
        else:
            raise BadRequest(f"invalid request: {where}.content[{index}]: expected a text, image_url or video_url part")
    return texts, links


def _mixed(texts: list[str], links: list[Link]) -> Content:
    """Videos, then pictures, then the text, as the official recipe orders them."""
    text = "\n".join(texts)
    if not links:
        return text
    return (*(link for kind in MEDIA for link in links if link.kind == kind), *([text] if text else []))


def _link(kind: Kind, source: Any, where: str, field: str) -> Link:
    url = source.get("url") if isinstance(source, dict) else source
    if not isinstance(url, str):
        raise BadRequest(f"invalid request: {where}{field}: expected a data URL, base64 or an http(s) URL")
    return Link(kind, url, field)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _yaml(value).removesuffix("\n...\n").strip()


def _yaml(value: Any) -> str:
    """As Cohere tells its users to write structured documents: https://docs.cohere.com/docs/reranking-best-practices"""
    try:
        text: str = yaml.dump(value, Dumper=YamlDumper, sort_keys=False, allow_unicode=True)
    except RecursionError:
        raise BadRequest("invalid request: documents: too deeply nested") from None
    return text


def _returned(document: Document) -> dict[str, Any]:
    if isinstance(document, str):
        return {"text": document}
    return {key: value for key, value in document.items() if value is not None}


def _json_fault(error: Exception) -> str:
    """What is wrong, and where if that is known, never the text itself."""
    if isinstance(error, RecursionError):
        return "too deeply nested"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
