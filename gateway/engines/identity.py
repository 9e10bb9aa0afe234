"""The identity of an engine: what it says of itself, and the logits that it gives to a few fixed pairs.

Half precision moves a logit a little from call to call. The first logits that were measured are therefore kept beside
the scores, and an engine that gives the same within its noise is the same engine.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from gateway.caches import Cache, CacheError

# Float32 on a processor moves a logit by 1e-5 with the batch. A layer, an override or a template more moves it by 0.1.
LEAST_TOLERANCE = 1e-3
# Another measurement may lie on the other side of the first.
TOLERANCE_PER_NOISE = 2.0
# Engines of one description that are told apart, for example a template each.
MAX_KNOWN = 16

_decode = msgspec.msgpack.Decoder(list[list[float]]).decode


async def identity_of(described: str, logits: Sequence[float], noise: float, cache: Cache | None) -> str:
    """The identity of an engine so described, with these logits.

    noise: the largest difference between two measurements of one logit. cache: knows the engines met before.
    """
    key = hashlib.blake2b(described.encode(), digest_size=16, person=b"engines").digest()
    known = await _known(key, cache)
    within = tolerance(noise)
    for first in known:
        if len(first) == len(logits) and all(abs(a - b) <= within for a, b in zip(first, logits, strict=True)):
            return repr((described, first))
    first = list(logits)
    if cache is not None:
        with suppress(CacheError):  # it keeps no scores either
            await cache.set_many({key: msgspec.msgpack.encode([first, *known][:MAX_KNOWN])})
    return repr((described, first))


def tolerance(noise: float) -> float:
    """The difference of two measurements of one logit that a noise explains."""
    return LEAST_TOLERANCE + TOLERANCE_PER_NOISE * noise


async def _known(key: bytes, cache: Cache | None) -> list[list[float]]:
    if cache is None:
        return []
    try:
        (value,) = await cache.get_many([key])
        return _decode(value) if value else []
    except (CacheError, msgspec.MsgspecError):
        return []
