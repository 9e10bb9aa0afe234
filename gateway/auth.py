"""Who may call: a key from any of the headers that Cohere's clients use, compared in constant time."""

from collections.abc import Callable, Sequence
from hmac import compare_digest

from gateway.errors import Unauthorized

Header = Callable[[str], str | None]


class Auth:
    """The keys that open the gateway; none lets everybody in."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def check(self, header: Header) -> None:
        """`header` gives a request header by its lower-case name. Raises Unauthorized in Cohere's words."""
        if not self._keys:
            return
        given = _keys(header)
        if not given:
            raise Unauthorized("no api key supplied")
        # Every key is compared, whole, so that the time taken tells nothing of which came close.
        if not sum(compare_digest(key, known) for key in given for known in self._keys):
            raise Unauthorized("invalid api token")


def _keys(header: Header) -> list[bytes]:
    """Continue sends two headers, 4.x writes BEARER, Pinecone Api-Key: any of them may hold the key."""
    scheme_and_key = (header("authorization") or "").split()
    found = (*scheme_and_key[-1:], header("x-api-key"), header("api-key"))
    return [key.encode() for key in found if key]
