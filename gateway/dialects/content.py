"""Documents and queries as clients write them: strings, records, texts with pictures, content parts."""

from typing import Any

import yaml

from gateway.domain import Content, Kind, Link, Mixed
from gateway.errors import BadRequest, Field

Document = str | dict[str, Any]

# libyaml's writer where PyYAML was built with it: 10,000 documents of ten fields in 2 s instead of 12.
YamlDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# In the order in which the official recipe puts them before the text.
MEDIA: tuple[Kind, ...] = ("video", "image")
# The names of content parts in vLLM's, OpenAI's and Qwen's clients.
PARTS: dict[str, Kind] = {"image_url": "image", "video_url": "video", "image": "image", "video": "video"}


def content_of(document: Document, field: Field, rank_fields: list[str] | None = None) -> Content:
    """The text and media that the model reads; of a record, the fields that matter, in order. Raises BadRequest."""
    if isinstance(document, str):
        return document
    if rank_fields:
        return "\n".join(_plain(document[name]) for name in rank_fields if document.get(name) is not None)
    if isinstance(document.get("content"), list):
        return _mixed(*_parts(document["content"], field))
    # A product record may well have a field called image: only what has nothing else is a picture.
    if document.keys() <= {"text", *MEDIA} and any(document.get(kind) is not None for kind in MEDIA):
        texts = [_plain(text) for text in _listed(document.get("text"))]
        links = [
            _link(kind, source, field, f".{kind}[{place}]" if isinstance(document[kind], list) else f".{kind}")
            for kind in MEDIA
            for place, source in enumerate(_listed(document.get(kind)))
        ]
        return _mixed(texts, links)
    text = document.get("text")
    if text is not None:
        return _plain(text)
    fields = {key: value for key, value in document.items() if value is not None}
    return _yaml(fields) if fields else ""


def echo_of(document: Document) -> dict[str, Any]:
    """A document as an answer repeats it."""
    if isinstance(document, str):
        return {"text": document}
    return {key: value for key, value in document.items() if value is not None}


def _parts(parts: list[Any], field: Field) -> tuple[list[str], list[Link]]:
    """vLLM's and OpenAI's content parts, as texts and links."""
    texts: list[str] = []
    links: list[Link] = []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in PARTS:
            links.append(_link(PARTS[kind], part.get(kind), field, f".content[{index}]"))
        else:
            raise BadRequest(
                "expected a text, image_url or video_url part",
                field=Field(field.name, field.index, f".content[{index}]"),
            )
    return texts, links


def _mixed(texts: list[str], links: list[Link]) -> Content:
    """Videos, then pictures, then the text, as the official recipe orders them."""
    text = "\n".join(texts)
    if not links:
        return text
    return Mixed(text, tuple(link for kind in MEDIA for link in links if link.kind == kind))


def _link(kind: Kind, source: Any, field: Field, where: str) -> Link:
    url = source.get("url") if isinstance(source, dict) else source
    if not isinstance(url, str):
        raise BadRequest("expected a data URL, base64 or an http(s) URL", field=Field(field.name, field.index, where))
    return Link(kind, url, where)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _yaml(value).removesuffix("\n...\n").strip()


def _yaml(value: Any) -> str:
    """YAML, as Cohere's users write structured documents: https://docs.cohere.com/docs/reranking-best-practices"""
    try:
        text: str = yaml.dump(value, Dumper=YamlDumper, sort_keys=False, allow_unicode=True)
    except RecursionError:
        raise BadRequest("too deeply nested", field=Field("documents")) from None
    return text
