"""Bytes that a caller names: from a data URL, from base64 or, where the operator allows it, from an address.

This is the only file that opens a caller's URL. The bytes may be anything: `images` and `videos` examine them.
"""

import asyncio
import base64
import binascii
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.errors import BadMedia
from gateway.settings import MediaSettings

Resolve = Callable[[str], Awaitable[Sequence[str]]]
Dial = Callable[[str, int], tuple[str, int]]

MAX_REDIRECTS = 3
MAX_URL_LENGTH = 8192
PORTS = (80, 443)
CHUNK_BYTES = 65536
# A longer text is decoded in a thread: it takes some 2 ms a megabyte.
DECODE_IN_THREAD_CHARS = 256 * 1024

# Networks that Python's is_global lets through and that lead inside all the same: relays and translators that carry an
# IPv4 address (6to4, its anycast, Teredo, NAT64), and a cloud's metadata service on a public address (Azure's).
_NOT_PUBLIC = [
    ip_network(network)
    for network in ("2002::/16", "192.88.99.0/24", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48", "168.63.129.16/32")
]
_GLOBAL_UNICAST = ip_network("2000::/3")
# Networks that no name of an operator's list may lead to either: link-local addresses and clouds' metadata.
_NEVER = [ip_network(network) for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32")]

REFUSED = "this address is not fetched from"
FAILED = "could not be fetched"


class NotFetched(BadMedia):
    """The caller must name another address, or send the bytes."""

    code = "media_not_fetched"


async def resolved(host: str) -> Sequence[str]:
    """Every address of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Media(AbstractAsyncContextManager["Media"]):
    """Loads what callers name, within the operator's limits.

    resolve: gives the addresses of a name. dial: gives the address and port to connect to in place of a checked
    address and port; tests lead it to loopback.
    """

    def __init__(
        self,
        settings: MediaSettings,
        *,
        resolve: Resolve = resolved,
        dial: Dial = lambda address, port: (address, port),
    ) -> None:
        self._settings = settings
        self._resolver = _CheckedResolver(settings, resolve, dial)
        self._places = asyncio.Semaphore(settings.max_fetches)
        self._session: aiohttp.ClientSession | None = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def load(self, url: str) -> bytes:
        """The bytes behind a URL or base64. Raises BadMedia, in words that tell a caller nothing of this network."""
        if url[:8].lower().startswith(("http://", "https://")):
            return await self._fetch(url)
        if len(url) > DECODE_IN_THREAD_CHARS:
            return await asyncio.to_thread(decoded, url, self._settings.max_bytes)
        return decoded(url, self._settings.max_bytes)

    async def _fetch(self, url: str) -> bytes:
        if self._settings.fetch == "off":
            raise NotFetched("this gateway fetches no addresses (media.fetch is off): send a data URL")
        try:
            async with self._places, asyncio.timeout(self._settings.timeout_s):
                address = _parsed(url)
                for _ in range(MAX_REDIRECTS + 1):
                    content, address = await self._get(address)
                    if content is not None:
                        return content
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            raise NotFetched(FAILED) from None
        raise NotFetched(f"redirected over {MAX_REDIRECTS} times")

    async def _get(self, url: URL) -> tuple[bytes | None, URL]:
        """The content of a URL, or None and the URL that it redirects to."""
        self._resolver.check_host(url.raw_host or "")
        session = self._open_session()
        async with session.get(url, allow_redirects=False, headers={"accept-encoding": "identity"}) as reply:
            if reply.status in (301, 302, 303, 307, 308):
                return None, _parsed(reply.headers.get("location", ""), url)
            if reply.status != 200:
                raise NotFetched(f"answered with status {reply.status}")
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise NotFetched("came compressed, though asked not to")
            return await self._read(reply), url

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        """The body, up to `max_bytes`. Raises BadMedia."""
        content = bytearray()
        async for chunk in reply.content.iter_chunked(CHUNK_BYTES):
            content += chunk
            if len(content) > self._settings.max_bytes:
                raise BadMedia(f"has over {self._settings.max_bytes} bytes", code="media_too_large")
        return bytes(content)

    def _open_session(self) -> aiohttp.ClientSession:
        """The session, made at the first fetch: most gateways never fetch, and it belongs to a running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=8190,
                max_field_size=8190,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


class _CheckedResolver(AbstractResolver):
    """Gives the connector the very addresses that were checked, so a name cannot lead elsewhere a moment later."""

    def __init__(self, settings: MediaSettings, resolve: Resolve, dial: Dial) -> None:
        self._hosts = {host.lower().rstrip(".") for host in settings.hosts} if settings.fetch == "listed" else None
        self._resolve = resolve
        self._dial = dial

    def check_host(self, host: str) -> None:
        """Checks a host against the operator's list, and an address in place of a name as well. Raises NotFetched.

        Such an address is never resolved, so `resolve` cannot check it.
        """
        if self._hosts is not None and host.lower().rstrip(".") not in self._hosts:
            raise NotFetched("this host is not on the gateway's list (media.hosts)")
        last = host.rstrip(".").rpartition(".")[2]
        if ":" in host or last.isdigit() or re.fullmatch(r"0[xX][0-9a-fA-F]*", last):
            # Some readers take anything that ends in a number for an address; only the plain form is one to all.
            self._check(host)

    def _check(self, address: str) -> None:
        try:
            parsed = ip_address(address)
        except ValueError:
            raise NotFetched(REFUSED) from None
        if not (_is_listable(parsed) if self._hosts is not None else _is_public(parsed)):
            raise NotFetched(REFUSED)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Every address of a name. Raises NotFetched if it has none, or a single one is not allowed."""
        try:
            addresses = list(dict.fromkeys(await self._resolve(host)))
        except OSError:
            # The same words as for an inner name that exists: nobody maps a network by asking.
            raise NotFetched(REFUSED) from None
        if not addresses:
            raise NotFetched(REFUSED)
        for address in addresses:
            self._check(address)
        return [self._result(host, *self._dial(address, port)) for address in addresses]

    def _result(self, host: str, address: str, port: int) -> ResolveResult:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return ResolveResult(
            hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
        )

    async def close(self) -> None:
        pass


def _parsed(url: str, base: URL | None = None) -> URL:
    """The URL, parsed by the client's own parser so that no two readings can differ. Raises NotFetched."""
    if len(url) > MAX_URL_LENGTH or not url or re.search(r"[\x00-\x20\x7f\\]", url):
        raise NotFetched("not an http(s) URL")
    try:
        parsed = URL(url) if base is None else base.join(URL(url))
        port = parsed.port
    except ValueError:
        raise NotFetched("not an http(s) URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise NotFetched("not an http(s) URL")
    if parsed.raw_user is not None or parsed.raw_password is not None or "@" in parsed.raw_authority:
        raise NotFetched("a URL with a user or password is not fetched")
    if port not in PORTS:
        raise NotFetched(f"only ports {PORTS[0]} and {PORTS[1]} are fetched from")
    return parsed


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """True for an address of the open internet that leads to no other one."""
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.scope_id):
        return False  # IPv4-mapped, IPv4-compatible, local, unique local, and ranges still to be assigned
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_listable(address: IPv4Address | IPv6Address) -> bool:
    """True for an address that a listed host may have: also of this network, never of this machine or its metadata."""
    plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
    if any(plain in network for network in _NEVER):
        return False
    return not (plain.is_loopback or plain.is_unspecified or plain.is_multicast or plain.is_reserved)


def decoded(text: str, max_bytes: int) -> bytes:
    """The bytes of a base64 data URL or of bare base64. Raises BadMedia."""
    if text[:5].lower() == "data:":
        head, comma, text = text[5:].partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise BadMedia("not a base64 data URL")
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text[:32]):
        raise NotFetched("only data:, http: and https: URLs are read")
    if len(text) > max_bytes // 3 * 4 + 1024:
        raise BadMedia(f"has over {max_bytes} bytes", code="media_too_large")
    plain = "".join(text.split()).translate(_URL_SAFE)
    try:
        content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadMedia("not base64") from None
    if not content:
        raise BadMedia("empty")
    return content


_URL_SAFE = str.maketrans("-_", "+/")
