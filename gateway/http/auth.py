"""Keys, from any of the headers that Cohere's clients use, compared in constant time."""

from collections.abc import Callable, Sequence
from hmac import compare_digest

from gateway.errors import Unauthorized
from gateway.settings import is_loopback

Header = Callable[[str], str | None]


class Auth:
    """The keys that open the gateway: without any, everybody may rerank, and from this machine administer."""

    def __init__(self, keys: Sequence[str], admin_keys: Sequence[str]) -> None:
        self._admin_keys = [key.encode() for key in admin_keys]
        self._keys = [key.encode() for key in keys]

    def check_key(self, header: Header) -> None:
        """Lets in the holder of a key, or anybody where there are none. Raises Unauthorized.

        header gives a request header by its lower-case name.
        """
        if self._keys:
            _check(header, self._keys + self._admin_keys)

    def check_admin(self, header: Header, client: str) -> None:
        """Lets in the holder of an admin key, or where there are none, a caller on this machine. Raises Unauthorized.

        client: the caller's address, empty over a Unix socket: the file's rights decide there.
        """
        if self._admin_keys:
            _check(header, self._admin_keys)
        elif client and not is_loopback(client):
            raise Unauthorized(
                "this path takes an admin key, or a call from the gateway's own machine", code="admin_only"
            )


def _check(header: Header, known_keys: Sequence[bytes]) -> None:
    given = _keys(header)
    if not given:
        raise Unauthorized("no api key supplied", code="no_api_key")
    # Every key is compared, whole, so that the time taken tells nothing of which came close.
    if not sum(compare_digest(key, known) for key in given for known in known_keys):
        raise Unauthorized("invalid api token", code="invalid_api_key")


def _keys(header: Header) -> list[bytes]:
    """Continue sends two headers, 4.x writes BEARER, Pinecone Api-Key: any of them may hold the key."""
    scheme_and_key = (header("authorization") or "").split()
    found = (*scheme_and_key[-1:], header("x-api-key"), header("api-key"))
    return [key.encode() for key in found if key]
