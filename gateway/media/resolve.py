"""Loads every picture and video that a request names, each once; decides nothing."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from gateway.domain import Blob, Content, Kind, Link, Mixed, Refused, RerankRequest, links_of
from gateway.errors import BadMedia
from gateway.media.loader import Media

_Loaded = Mapping[tuple[Kind, str], Blob | BadMedia]


async def resolve(request: RerankRequest, media: Media) -> tuple[RerankRequest, dict[int, Refused]]:
    """The request with bytes in place of links, and by index the documents whose media cannot be had.

    Where those of the query cannot, every document is refused for it.
    """
    contents = (request.query, *request.documents)
    loaded = await _load([link for content in contents for link in links_of(content)], media)
    query = _resolved(request.query, loaded)
    if isinstance(query, Refused):
        return request, dict.fromkeys(range(len(request.documents)), replace(query, in_query=True))
    documents: list[Content] = []
    refused: dict[int, Refused] = {}
    for index, document in enumerate(request.documents):
        resolved = _resolved(document, loaded)
        if isinstance(resolved, Refused):
            refused[index] = resolved
            resolved = document
        documents.append(resolved)
    return replace(request, query=query, documents=documents), refused


async def _load(links: Sequence[Link], media: Media) -> _Loaded:
    """Each distinct picture and video, loaded and hashed once, however many documents it stands in."""
    kinds: dict[str, set[Kind]] = {}
    for link in links:
        kinds.setdefault(link.url, set()).add(link.kind)

    async def load(url: str) -> dict[tuple[Kind, str], Blob | BadMedia]:
        try:
            data = await media.load(url)
        except BadMedia as reason:
            return {(kind, url): reason for kind in kinds[url]}
        return {(kind, url): await asyncio.to_thread(Blob, kind, data) for kind in kinds[url]}

    loaded: dict[tuple[Kind, str], Blob | BadMedia] = {}
    for found in await asyncio.gather(*map(load, kinds)):
        loaded |= found
    return loaded


def _resolved(content: Content, loaded: _Loaded) -> Content | Refused:
    """The content with bytes in place of links, or the refusal of its first bad one."""
    if isinstance(content, str):
        return content
    parts: list[Link | Blob] = []
    for place, part in enumerate(content.media):
        found = loaded[part.kind, part.url] if isinstance(part, Link) else part
        if isinstance(found, BadMedia):
            return Refused(str(found), found.code, place)
        parts.append(found)
    return Mixed(content.text, tuple(parts))
