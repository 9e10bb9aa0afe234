"""What can go wrong, one class per status: an error says who must act; the caller's dialect renders it, once."""


class RerankError(Exception):
    """Base of all. The message reaches the caller: it never holds a document, a query, a key or an engine's address."""

    status = 500
    retry_after_s: int | None = None
    allow: str | None = None


class BadRequest(RerankError):
    """The caller must change the request; the message names the field."""

    status = 400


class BadMedia(BadRequest):
    """A picture or a video that cannot be had or read; the message says why, whoever knows the field puts it before."""


class Unauthorized(RerankError):
    """The caller must bring a key."""

    status = 401


class NotFound(RerankError):
    """No such path, or no such model."""

    status = 404


class MethodNotAllowed(RerankError):
    """The path exists, with another method."""

    status = 405

    def __init__(self, allow: str) -> None:
        super().__init__(f"this path takes {allow}")
        self.allow = allow


class Overloaded(RerankError):
    """The caller must wait: the queue is full."""

    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineBadResponse(RerankError):
    """The operator must act: the engine answered what no reranker answers."""

    status = 502


class EngineUnavailable(RerankError):
    """Nobody need act at once: the engine is starting, restarting or gone."""

    status = 503
    retry_after_s = 2


class EngineTimeout(RerankError):
    """The operator must act: the engine is too slow for `limits.engine_timeout_s`."""

    status = 504
