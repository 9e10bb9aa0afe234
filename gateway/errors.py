"""The errors, one class per status. An error says who must act; the caller's dialect words it, once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a request: `documents[3].image` is Field("documents", 3, ".image").

    `name` is the gateway's own word for the field. A dialect that calls it otherwise renames it in `named`.
    """

    name: str
    index: int | None = None
    inner: str = ""

    def named(self, names: Mapping[str, str]) -> str:
        """The field as a caller wrote it, with `names` in place of the gateway's words."""
        place = "" if self.index is None else f"[{self.index}]"
        return f"{names.get(self.name, self.name)}{place}{self.inner}"


class RerankError(Exception):
    """Base of all. The message reaches the caller: it never holds a document, a query, a key or an engine's address.

    code: stable, for programs to read. field: where in the request the fault is; the message does not repeat it.
    """

    status = 500
    code = "internal_error"
    retry_after_s: int | None = None
    allow: str | None = None

    def __init__(self, message: str, *, code: str | None = None, field: Field | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.field = field


class BadRequest(RerankError):
    """The caller must change the request."""

    status = 400
    code = "invalid_request"


class Unreadable(BadRequest):
    """The caller must change a text, picture or video that the model cannot read."""

    code = "prompt_refused"


class BadMedia(Unreadable):
    """The caller must change a picture or video that cannot be loaded or decoded."""

    code = "media_unreadable"


class Unauthorized(RerankError):
    """The caller must bring a key."""

    status = 401
    code = "invalid_api_key"


class NotFound(RerankError):
    """The caller must ask for another path or model."""

    status = 404
    code = "path_not_found"


class MethodNotAllowed(RerankError):
    """The caller must use another method on this path."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        super().__init__(f"this path takes {allow}")
        self.allow = allow


class Overloaded(RerankError):
    """The caller must wait: too many pairs are waiting already."""

    status = 429
    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineError(RerankError):
    """Base of what an engine does wrong. model: the name of the model it serves, once that is known."""

    model: str | None = None


class EngineBadResponse(EngineError):
    """The operator must act: the engine's answer is none that a reranker gives."""

    status = 502
    code = "engine_bad_response"


class EngineUnavailable(EngineError):
    """Nobody need act at once: the engine is starting, restarting or gone."""

    status = 503
    code = "engine_unavailable"
    retry_after_s = 2


class EngineUntrusted(EngineError):
    """The operator must act: the engine answers, and its scores are wrong."""

    status = 503
    code = "engine_untrusted"
    retry_after_s = 5


class EngineTimeout(EngineError):
    """The operator must act: the engine is too slow for `limits.engine_timeout_s`."""

    status = 504
    code = "engine_timeout"
