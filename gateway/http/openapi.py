"""The OpenAPI document, made from the very types that read and write the JSON, so that it cannot lag behind."""

from typing import Any

import msgspec

from gateway.dialects.cohere import Answer, Body, ErrorBody

_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(
    (Body, Answer, ErrorBody), ref_template="#/components/schemas/{name}"
)
_BODY, _ANSWER, _ERROR = _SCHEMAS


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}}


_ERRORS = {
    "400": "What the caller must change; the message names the field",
    "401": "No key, or a wrong one",
    "404": "No such model, where `unknown_model` is `error`",
    "429": "Too many pairs are waiting: see Retry-After",
    "502": "The engine answered nonsense",
    "503": "The engine is starting, restarting or gone: see Retry-After",
    "504": "The engine was too slow",
}


def _rerank(summary: str) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, **_content(_BODY)},
            "responses": {
                "200": {"description": "The ranking, best first", **_content(_ANSWER)},
                **{status: {"description": text, **_content(_ERROR)} for status, text in _ERRORS.items()},
            },
        }
    }


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Rerank gateway",
        "version": "1",
        "description": "Cohere's Rerank API over open rerankers. Any prefix before the last path segment is accepted.",
    },
    "security": [{"bearer": []}, {}],
    "paths": {
        "/v2/rerank": _rerank("Rank documents; a long one is cut after max_tokens_per_doc tokens (4096)"),
        "/v1/rerank": _rerank("Rank documents; a long one is read in up to max_chunks_per_doc chunks (10)"),
        "/v1/models": _get("The models, as Cohere and as OpenAI list them"),
        "/v1/models/{name}": {
            **_get("One model, by name or alias"),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
        },
        "/v1/engines": _get("How each model's engine does, how far it is loaded, and what memory is used"),
        "/v1/engines/{name}/load": {
            "post": {
                "summary": "Start an engine: an admin key, or a call from this machine where none is set",
                "responses": {
                    "202": {"description": "It is being loaded, or was already"},
                    "400": {"description": "It was not started by this gateway's launcher"},
                    "404": {"description": "No such model"},
                },
            },
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
        },
        "/v1/check-api-key": {
            "post": {"summary": "Whether the key is good", "responses": {"200": {"description": "OK"}}}
        },
        "/v1/tokenize": {
            "post": {
                "summary": "A text's tokens, by the engine's tokenizer",
                "requestBody": {
                    "required": True,
                    **_content(
                        {
                            "type": "object",
                            "required": ["text"],
                            "properties": {"text": {"type": "string"}, "model": {"type": "string"}},
                        }
                    ),
                },
                "responses": {"200": {"description": "OK"}},
            }
        },
        "/v1/preview": {
            "post": {
                "summary": "What the model sees of a picture or video: its frames as small JPEGs",
                "requestBody": {
                    "required": True,
                    **_content(
                        {
                            "type": "object",
                            "properties": {
                                **{key: {"type": "string"} for key in ("image", "video", "model")},
                                "fps": {"type": "number", "exclusiveMinimum": 0},
                                **{key: {"type": "integer", "minimum": 1} for key in ("max_frames", "max_pixels")},
                            },
                        }
                    ),
                },
                "responses": {"200": {"description": "OK"}, "400": {"description": _ERRORS["400"]}},
            }
        },
        "/v1/cache": {
            "delete": {
                "summary": "Forget every score: an admin key, or a call from this machine where none is set",
                "responses": {"200": {"description": "OK"}},
            }
        },
        "/healthz": _get("The process lives"),
        "/readyz": _get("Every engine is ready and its scores can be trusted; 503 with the reasons otherwise"),
        "/metrics": _get("Counts for Prometheus"),
    },
    "components": {
        "schemas": _COMPONENTS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
}
