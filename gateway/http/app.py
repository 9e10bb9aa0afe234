"""The ASGI application: finds what a path means, lets the caller in, and answers in the caller's dialect."""

import logging
import traceback
import uuid
from collections.abc import Iterable
from importlib.resources import files

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.dialects import DIALECTS, FALLBACK, Dialect, dialect_of
from gateway.errors import MethodNotAllowed, NotFound, RerankError
from gateway.http import openapi
from gateway.http.auth import Auth
from gateway.http.base import Access, Call, Route, http_response, json_reply
from gateway.http.rerank_api import RerankApi

log = logging.getLogger("gateway")


class Application:
    """Routes by the last path segment, whatever stands before it, and never redirects."""

    def __init__(self, rerank: RerankApi, routes: Iterable[Route], auth: Auth) -> None:
        self._rerank = rerank
        self._auth = auth
        routes = list(routes)
        self._document = openapi.document(routes, DIALECTS)
        own = [
            Route("GET", "/openapi.json", "This document", self._describe, Access.PUBLIC),
            Route("GET", "/docs", "A page that needs no internet", self._docs, Access.PUBLIC),
            Route("GET", "/", "The same page", self._docs, Access.PUBLIC),
        ]
        self._one_model = next(route for route in routes if route.path == "/v1/models/{name}")
        self._routes = {_last_word(route.path): route for route in (*routes, *own) if route is not self._one_model}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = Request(scope, receive)
        call = Call(http, [segment for segment in scope["path"].split("/") if segment], str(uuid.uuid4()))
        dialect = dialect_of(call.segments, http.headers)
        try:
            response = await self._answer(call, dialect)
        except RerankError as error:
            response = _error_response(call, dialect, error)
        except ClientDisconnect:
            return
        except Exception as error:
            # The place but not the message: that of an unknown error may quote a document.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed: %s\n%s", call.id, type(error).__name__, where)
            response = _error_response(call, dialect, RerankError(f"internal error, request {call.id}"))
        await response(scope, receive, send)

    async def _answer(self, call: Call, dialect: Dialect | None) -> Response:
        if dialect is not None and not _names_a_model(call):
            if call.http.method != "POST":
                raise MethodNotAllowed("POST")
            self._auth.check_key(call.http.headers.get)
            return await self._rerank.answer(call, dialect)
        route = self._route(call)
        if route.access is Access.ADMIN:
            self._auth.check_admin(call.http.headers.get, call.http.client.host if call.http.client else "")
        elif route.access is Access.KEY:
            self._auth.check_key(call.http.headers.get)
        return await route.answer(call)

    def _route(self, call: Call) -> Route:
        method = "GET" if call.http.method == "HEAD" else call.http.method
        if _names_a_model(call):
            return self._one_model
        route = self._routes.get(call.segments[-1] if call.segments else "")
        if route is None:
            raise NotFound("no such path: POST /v1/rerank or /v2/rerank, and see /docs")
        if method != route.method:
            raise MethodNotAllowed(route.method)
        return route

    async def _describe(self, call: Call) -> Response:
        return json_reply(self._document)

    async def _docs(self, call: Call) -> Response:
        return Response(files("gateway.http").joinpath("docs.html").read_bytes(), media_type="text/html")


def _names_a_model(call: Call) -> bool:
    """True for GET /v1/models/NAME: a name may hold slashes and any word."""
    return call.http.method in ("GET", "HEAD") and "models" in call.segments[:-1]


def _last_word(path: str) -> str:
    """The last segment that is no parameter: it finds the route."""
    return next((segment for segment in reversed(path.split("/")) if not segment.startswith("{")), "")


def _error_response(call: Call, dialect: Dialect | None, error: RerankError) -> Response:
    response = http_response((dialect or FALLBACK).render(call.id, error))
    if error.retry_after_s:
        response.headers["retry-after"] = str(error.retry_after_s)
    if error.allow:
        response.headers["allow"] = error.allow
    return response
