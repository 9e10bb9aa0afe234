"""Client of the gateway: `rerank` through Cohere's own client, the rest through the public endpoints."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import cohere
import httpx
from cohere.core.api_error import ApiError
from cohere.core.request_options import RequestOptions

from ui.faults import Fault

# Text, or an object of the keys "text", "image" and "video", the last two data URLs or lists of them.
Content = str | dict[str, Any]

_STATUS_TIMEOUT_S = 3.0
_MAX_DETAIL_CHARS = 500

# Entries of texts.FAULTS by the `code` in the body of a gateway's error.
_BY_CODE = {
    "text_only": "no_vision",
    "media_unreadable": "unreadable",
    "video_too_long": "video_too_long",
    "media_too_large": "too_large",
    "body_too_large": "too_large",
    "no_api_key": "unauthorized",
    "invalid_api_key": "unauthorized",
    "admin_only": "unauthorized",
    "model_not_found": "no_model",
    "overloaded": "busy",
    "engine_not_launched": "no_load",
    "engine_stopped": "not_loaded",
    "engine_loading": "not_loaded",
    "engine_failed": "not_loaded",
    "engine_unavailable": "no_engine",
    "engine_untrusted": "untrusted",
    "engine_timeout": "timeout",
}
# The same by status, for other codes and for servers without codes, such as a proxy in front of the gateway.
_BY_STATUS = {
    401: "unauthorized",
    403: "unauthorized",
    404: "no_model",
    413: "too_large",
    429: "busy",
    503: "no_engine",
    504: "timeout",
}
# A server that refuses the request to load an engine, or has no such path, cannot load engines.
_BY_STATUS_OF_LOAD = _BY_STATUS | dict.fromkeys((400, 404, 405, 409, 501), "no_load")


class Result(NamedTuple):
    """Score of one document. `place` is its index in the request, `spans` are its relevant parts in code points."""

    place: int
    score: float
    spans: list[dict[str, Any]]


class Client:
    """One connection pool to one gateway. Methods raise Fault for a call that fails."""

    def __init__(self, url: str, api_key: str | None, *, timeout_s: float = 120.0) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # A proxy named in the environment is for the internet, not for this connection.
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout_s, headers=headers, trust_env=False)
        self._cohere = cohere.AsyncClientV2(
            api_key or "none", base_url=self.url, httpx_client=self._http, timeout=timeout_s, max_retries=0
        )

    async def rerank(
        self,
        model: str,
        query: Content,
        documents: Sequence[Content],
        *,
        instruction: str | None = None,
        spans: bool = False,
    ) -> list[Result]:
        """Scores of all documents, in 0-1 and best first. `spans` asks for the relevant parts of each text as well."""
        more: dict[str, Any] = {"instruction": instruction} if instruction else {}
        with _translated():
            answer = await self._cohere.rerank(
                model=model,
                # The client's types know text only; it sends pictures and videos all the same.
                query=query,  # type: ignore[arg-type]
                documents=documents,  # type: ignore[arg-type]
                relevant_spans=cohere.RerankRelevantSpans(mode="enabled" if spans else "disabled"),
                request_options=RequestOptions(additional_body_parameters=more, max_retries=0),
            )
        return [
            Result(result.index, result.relevance_score, [span.model_dump() for span in result.relevant_spans or []])
            for result in answer.results
        ]

    async def engines(self) -> dict[str, Any]:
        """Body of GET /v1/engines: engines, gpus, memory."""
        with _translated():
            reply = await self._http.get("/v1/engines", timeout=_STATUS_TIMEOUT_S)
            reply.raise_for_status()
            body: dict[str, Any] = reply.json()
            return body

    async def ranks_lists(self, model: str) -> bool:
        """True when a document's score depends on the others of its request; False where the gateway does not tell."""
        try:
            entries = (await self.engines())["engines"]
        except Fault:
            return False
        named = [entry for entry in entries if entry["name"] == model]
        default = [entry for entry in entries if entry["default"]]
        return any(entry.get("listwise", False) for entry in named or default)

    async def load(self, name: str) -> None:
        """Start an engine. Raises Fault("no_load") if this gateway cannot start it."""
        with _translated(_BY_STATUS_OF_LOAD):
            (await self._http.post(f"/v1/engines/{name}/load")).raise_for_status()

    async def preview(self, kind: str, data_url: str, *, model: str) -> list[dict[str, Any]]:
        """Frames of a picture or video that the model sees, each with its time in seconds."""
        with _translated():
            reply = await self._http.post("/v1/preview", json={kind: data_url, "model": model})
            reply.raise_for_status()
            frames: list[dict[str, Any]] = reply.json()["frames"]
            return frames


@contextmanager
def _translated(by_status: Mapping[int, str] = _BY_STATUS) -> Iterator[None]:
    """Raise the libraries' errors as Fault."""
    try:
        yield
    except ApiError as error:
        raise _fault(error.status_code or 500, error.body, by_status) from error
    except httpx.HTTPStatusError as error:
        raise _fault(error.response.status_code, _json(error.response), by_status) from error
    except httpx.TimeoutException as error:
        raise Fault("timeout") from error
    except (httpx.HTTPError, OSError) as error:
        raise Fault("unreachable") from error


def _fault(status: int, body: object, by_status: Mapping[int, str]) -> Fault:
    told = body if isinstance(body, Mapping) else {}
    key = _BY_CODE.get(str(told.get("code"))) or by_status.get(status) or ("failed" if status >= 500 else "refused")
    detail = str(told.get("message") or status)[:_MAX_DETAIL_CHARS]
    return Fault(key, detail, load=key == "not_loaded")


def _json(reply: httpx.Response) -> object:
    try:
        return reply.json()
    except ValueError:
        return None
