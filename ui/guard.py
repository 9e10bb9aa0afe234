"""Protection that Gradio lacks: from DNS rebinding, foreign origins, endless bodies and addresses to fetch; headers."""

import ipaddress
from collections.abc import Collection
from typing import NoReturn
from urllib.parse import urlsplit

from fastapi import HTTPException
from gradio import processing_utils
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_JSON_BYTES = 8 * 2**20
UPLOAD_PATH = "/gradio_api/upload"

# Gradio's components compile their templates in the page and load workers and previews from blobs.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware around the page. `names` are host names that it answers to, beside IP addresses and localhost."""

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app, self._names = app, {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if refusal := self._refusal(scope):
            await refusal(scope, receive, with_headers)
            return
        # Gradio limits uploads itself.
        limited = receive if scope["path"].startswith(UPLOAD_PATH) else _limited(receive)
        await self._app(scope, limited, with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # A foreign page can have its own name resolve to this address, but the browser still sends that name.
        if not self._is_ours(host):
            return PlainTextResponse("this studio is not known by that name: start it with --name", 421)
        origin = headers.get("origin")
        if scope["method"] not in {"GET", "HEAD"} and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("asked from another site's page", 403)
        length = headers.get("content-length", "0")
        if not scope["path"].startswith(UPLOAD_PATH) and (not length.isdigit() or int(length) > MAX_JSON_BYTES):
            return PlainTextResponse("the body is too large", 413)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _limited(receive: Receive) -> Receive:
    left = MAX_JSON_BYTES

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            # FastAPI reads the body here, and answers other exceptions with 400.
            raise HTTPException(413, "the body is too large")
        return message

    return counted


def fetch_nothing() -> None:
    """Stop Gradio from fetching addresses that a caller puts in place of an uploaded file. It has no setting for it."""

    async def refuse(url: str, cache_dir: str) -> NoReturn:  # noqa: ARG001 -- called by these names
        raise ValueError("addresses are not fetched: upload the file")

    processing_utils.async_ssrf_protected_download = refuse
