"""The dialects: a new one is a file and a row here."""

from collections.abc import Mapping, Sequence

from gateway.dialects.base import Dialect, Reply
from gateway.dialects.cohere import V1, V2

__all__ = ["DIALECTS", "FALLBACK", "Dialect", "Reply", "dialect_of"]

# The first that matches answers.
DIALECTS: list[Dialect] = [V2, V1]
# Words the errors of paths that are no dialect's.
FALLBACK: Dialect = V1


def dialect_of(segments: Sequence[str], headers: Mapping[str, str]) -> Dialect | None:
    """The dialect of a request; None when its path is no dialect's."""
    return next((dialect for dialect in DIALECTS if dialect.matches(segments, headers)), None)
