"""What a dialect is: bytes to request, response to bytes, error to bytes. It knows the JSON and nothing else."""

from typing import Protocol

from gateway.domain import RerankRequest, RerankResponse
from gateway.errors import RerankError


class Dialect(Protocol):
    """One shape of the rerank API."""

    name: str

    def parse(self, body: bytes) -> RerankRequest:
        """Raises BadRequest naming the field, with the index where it is one of many."""

    def render(self, request_id: str, request: RerankRequest, response: RerankResponse) -> bytes: ...

    def render_error(self, request_id: str, error: RerankError) -> bytes: ...
