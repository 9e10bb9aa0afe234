"""The dialects, by the path they are asked on: a new one is a file and a row here."""

from collections.abc import Sequence

from gateway.dialects.base import Dialect
from gateway.dialects.cohere import V1, V2

__all__ = ["RERANK_SEGMENTS", "Dialect", "dialect_of"]

# What real clients' paths end in: whatever stands before, they mean this.
RERANK_SEGMENTS = frozenset({"rerank", "reranks", "reranking", "rerankings", "ranking", "text-rerank"})
VERSIONS: dict[str, Dialect] = {"v1": V1, "v2": V2}


def dialect_of(segments: Sequence[str]) -> Dialect:
    """The dialect of a path: its last version counts, for SDKs append `/v2/rerank` to bases that end in `/v1`."""
    return next((VERSIONS[segment] for segment in reversed(segments) if segment in VERSIONS), V1)
