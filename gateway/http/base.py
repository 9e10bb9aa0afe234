"""Every path's ground: a call, its route, its body, and work that ends when the caller leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from gateway.dialects import Reply
from gateway.errors import BadRequest
from gateway.validation import field_first

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way: its path in segments, and the id its answer will carry."""

    http: Request
    segments: Sequence[str]
    id: str


class Access(Enum):
    """The callers a path is for: all, those with a key, those with an admin's."""

    PUBLIC = auto()
    KEY = auto()
    ADMIN = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """A path and its answer, with the types that its OpenAPI entry is made of.

    path: as the document shows it; the last segment that is no parameter finds the route, whatever stands before it.
    takes, gives: the types of the JSON body and answer. status: of a good answer. refusals: by status, in words.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[Call], Awaitable[Response]]
    access: Access = Access.KEY
    takes: type | None = None
    gives: type | None = None
    status: int = 200
    refusals: Mapping[int, str] = field(default_factory=dict)


def http_response(reply: Reply) -> Response:
    """A dialect's reply on its way out."""
    return Response(reply.body, reply.status, dict(reply.headers), media_type="application/json")


def json_reply(answer: object, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


async def read_body(http: Request, max_bytes: int) -> bytes:
    """The whole body. Raises BadRequest for too much of it: clients show 413 as an unknown error."""
    declared = http.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    chunks = []
    if size <= max_bytes:
        size = 0
        async for chunk in http.stream():
            size += len(chunk)
            if size > max_bytes:
                break
            chunks.append(chunk)
    if size > max_bytes:
        raise BadRequest(f"the body has over {max_bytes} bytes", code="body_too_large")
    return b"".join(chunks)


def decoded(body: bytes, kind: type[T]) -> T:
    """A JSON body as a Struct. Raises BadRequest with the field at fault first."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(field_first(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(str(error), code="invalid_json") from None


async def while_connected(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, unless the caller leaves first: then the work is cancelled and the engine spared."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(http.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
