"""The gateway as the studio sees it: `rerank` through Cohere's own client, the rest through public endpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import cohere
import httpx
from cohere.core.api_error import ApiError
from cohere.core.request_options import RequestOptions

from ui.faults import Fault

# Text, or what the gateway reads pictures and videos from: {"text", "image", "video"}.
Content = str | dict[str, Any]

_STATUS_TIMEOUT_S = 3.0
_BY_STATUS = {
    401: "unauthorized", 403: "unauthorized", 404: "no_model", 413: "too_large", 429: "busy", 503: "no_engine",
    504: "timeout",
}  # fmt: skip
# A 503 whose message holds the words: what the launcher can do something about.
_NOT_LOADED = {"is not loaded": "not_loaded", "being loaded": "not_loaded", "could not be loaded": "not_loaded"}
# A 400 whose message holds the words: the kinds of files that a person can do something about.
_BY_WORDS = {
    "text only": "no_vision",
    "s are read": "video_too_long",
    "cut off": "unreadable",
    "not a picture": "unreadable",
    "not a video": "unreadable",
    "has over": "too_large",
}


class Result(NamedTuple):
    """A document's place in the order given, its relevance score in 0-1, and its relevant spans in code points."""

    place: int
    score: float
    spans: list[dict[str, Any]]


class Client:
    """One connection pool to one gateway. Raises Fault for whatever goes wrong."""

    def __init__(self, url: str, api_key: str | None, *, timeout_s: float = 120.0) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # A proxy of the environment is no business of this connection.
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
        """Every document's score, best first; with `spans` where in its text it is relevant."""
        more: dict[str, Any] = {"instruction": instruction} if instruction else {}
        with _explained():
            answer = await self._cohere.rerank(
                model=model,
                # The client's types know text only; it sends pictures and videos all the same.
                query=query,  # type: ignore[arg-type]
                documents=documents,  # type: ignore[arg-type]
                relevant_spans=cohere.RerankRelevantSpans(mode="enabled" if spans else "disabled"),
                request_options=RequestOptions(additional_body_parameters=more, max_retries=0),
            )
        return [
            Result(one.index, one.relevance_score, [span.model_dump() for span in one.relevant_spans or []])
            for one in answer.results
        ]

    async def engines(self) -> dict[str, Any]:
        """The answer of GET /v1/engines: engines, gpus, memory."""
        with _explained():
            reply = await self._http.get("/v1/engines", timeout=_STATUS_TIMEOUT_S)
            reply.raise_for_status()
            answer: dict[str, Any] = reply.json()
            return answer

    async def load(self, name: str) -> None:
        """Has the gateway start an engine; raises Fault("no_load") where that is nobody's to do from here."""
        with _explained():
            reply = await self._http.post(f"/v1/engines/{name}/load")
        if reply.is_error:
            unable = reply.status_code in {400, 401, 403, 404, 405, 409, 501}
            raise Fault("no_load" if unable else _BY_STATUS.get(reply.status_code, "failed"), _message(reply))

    async def preview(self, kind: str, data_url: str, *, model: str) -> list[dict[str, Any]]:
        """The frames that the model sees of a picture or video, with their seconds."""
        with _explained():
            reply = await self._http.post("/v1/preview", json={kind: data_url, "model": model})
            reply.raise_for_status()
            frames: list[dict[str, Any]] = reply.json()["frames"]
            return frames


@contextmanager
def _explained() -> Iterator[None]:
    """The one place where a library's error becomes a Fault."""
    try:
        yield
    except ApiError as error:
        detail = error.body.get("message", "") if isinstance(error.body, dict) else error.body or ""
        raise _fault(error.status_code or 500, str(detail)[:500]) from error
    except httpx.HTTPStatusError as error:
        raise _fault(error.response.status_code, _message(error.response)) from error
    except httpx.TimeoutException as error:
        raise Fault("timeout") from error
    except (httpx.HTTPError, OSError) as error:
        raise Fault("unreachable") from error


def _fault(status: int, detail: str) -> Fault:
    key = _BY_STATUS.get(status, "failed" if status >= 500 else "refused")
    known = {400: _BY_WORDS, 503: _NOT_LOADED}.get(status, {})
    key = next((key for words, key in known.items() if words in detail), key)
    return Fault(key, detail or str(status), load=key == "not_loaded")


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return str(reply.status_code)
