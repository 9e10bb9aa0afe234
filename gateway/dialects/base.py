"""A dialect is one shape of the rerank API: bytes to request, ranking or error to reply. It knows the JSON alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.domain import Ranking, RerankRequest
from gateway.errors import RerankError


class Reply(NamedTuple):
    """An answer as HTTP sends it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Schemas(NamedTuple):
    """A dialect's types, for the OpenAPI document. paths: path and summary of each place it is asked at."""

    paths: Mapping[str, str]
    body: type
    answer: type
    error: type


class Dialect(Protocol):
    """Adding one is a file in this folder and a row in DIALECTS."""

    name: str
    schemas: Schemas

    def matches(self, segments: Sequence[str], headers: Mapping[str, str]) -> bool:
        """True when a request with this path, split at its slashes, and these headers speaks this dialect."""

    def parse(self, body: bytes) -> RerankRequest:
        """Raises BadRequest naming the field, with the index where it is one of many."""

    def render(self, request_id: str, result: Ranking | RerankError) -> Reply:
        """The answer to a request, or to any call of a client that speaks this dialect."""
