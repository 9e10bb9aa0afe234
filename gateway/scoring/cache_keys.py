"""The key of a pair: whatever changes its score changes the key, and nothing else does."""

import hashlib
from collections.abc import Sequence

from gateway.domain import Blob, Content, Mixed, ScoringOptions

# Changes with the form of a kept value, so that no version of the gateway reads what another wrote.
_FORMAT = "2"


def pair_keys(identity: str, options: ScoringOptions, query: Content, documents: Sequence[Content]) -> list[bytes]:
    """A 16-byte key per document.

    identity: of the engine. options: canonical, so that readings alike have one key.
    """
    prefix = hashlib.blake2b(digest_size=16)
    limits = f"{options.max_tokens_per_doc}/{options.max_chunks_per_doc}"
    media = f"{options.fps}/{options.max_frames}/{options.max_pixels}".encode()
    for content in (_FORMAT, identity, options.instruction or "", limits, query):
        data = content.encode() if isinstance(content, str) else _mixed(content, media)
        # Each field is preceded by its length: else ("ab", "c") and ("a", "bc") could be one key, and one caller get
        # another's score. The document comes last and needs none.
        prefix.update(len(data).to_bytes(8, "little") + data)
    keys = []
    for document in documents:
        digest = prefix.copy()
        digest.update(document.encode() if isinstance(document, str) else _mixed(document, media))
        keys.append(digest.digest())
    return keys


def list_keys(identity: str, options: ScoringOptions, query: Content, documents: Sequence[Content]) -> list[bytes]:
    """The same where a score depends on the whole list and on a document's place in it."""
    whole = hashlib.blake2b(b"".join(pair_keys(identity, options, query, documents)), digest_size=16).digest()
    return [
        hashlib.blake2b(whole + place.to_bytes(4, "little"), digest_size=16).digest() for place in range(len(documents))
    ]


def _mixed(content: Mixed, options: bytes) -> bytes:
    """The media and text of a content, and how media are read. 0xFF is in no UTF-8, so no text is taken for it."""
    fields = [options, *(part.digest for part in content.media if isinstance(part, Blob)), content.text.encode()]
    return b"\xff" + b"".join(len(field).to_bytes(8, "little") + field for field in fields)
