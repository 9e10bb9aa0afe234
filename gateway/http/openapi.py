"""The OpenAPI document, made from the very types that read and write the JSON, so that it cannot lag behind."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway.dialects import Dialect
from gateway.http.base import Route

_ERRORS = {
    400: "What the caller must change; the message names the field",
    401: "No key, or a wrong one",
    404: "No such model, where `unknown_model` is `error`",
    429: "Too many pairs are waiting: see Retry-After",
    502: "The engine answered nonsense",
    503: "The engine is starting, restarting or gone: see Retry-After",
    504: "The engine was too slow",
}


def document(routes: Iterable[Route], dialects: Sequence[Dialect]) -> dict[str, Any]:
    """OpenAPI 3.1 of every route and every dialect."""
    routes = list(routes)
    types = [kind for dialect in dialects for kind in dialect.schemas[1:]]
    types += [kind for route in routes for kind in (route.takes, route.gives) if kind is not None]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, Any] = {}
    for dialect in dialects:
        for path, summary in dialect.schemas.paths.items():
            paths[path] = {"post": _rerank(dialect, summary, of)}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _service(route, of)
        if names := re.findall(r"{(\w+)}", route.path):
            paths[route.path]["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rerank gateway",
            "version": "1",
            "description": "Cohere's Rerank API over open rerankers. "
            "Any prefix before the last path segment is accepted.",
        },
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _rerank(dialect: Dialect, summary: str, of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    _, body, answer, error = dialect.schemas
    return {
        "summary": summary,
        "requestBody": {"required": True, **_content(of[body])},
        "responses": {
            "200": {"description": "The ranking, best first", **_content(of[answer])},
            **{str(status): {"description": text, **_content(of[error])} for status, text in _ERRORS.items()},
        },
    }


def _service(route: Route, of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    good = {"description": "OK", **(_content(of[route.gives]) if route.gives else {})}
    entry: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            str(route.status): good,
            **{str(status): {"description": text} for status, text in route.refusals.items()},
        },
    }
    if route.takes is not None:
        entry["requestBody"] = {"required": True, **_content(of[route.takes])}
    return entry


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
