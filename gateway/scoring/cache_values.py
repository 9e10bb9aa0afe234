"""Scores as they are kept: their fields as msgpack."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain import Outcome, Score

_encode_into = msgspec.msgpack.Encoder().encode_into
_decode = msgspec.msgpack.Decoder(Score).decode


def encoded(outcomes: Mapping[bytes, Outcome]) -> dict[bytes, bytes]:
    """Scores as they are kept. A refusal is not: the engine may read tomorrow what it refuses today."""
    buffer = bytearray()  # `encode` gives bytes cut out of a kilobyte: kept by the million they take 30 MB more
    values: dict[bytes, bytes] = {}
    for key, outcome in outcomes.items():
        if isinstance(outcome, Score):
            _encode_into(outcome, buffer)
            values[key] = bytes(buffer)
    return values


def decoded(keys: Sequence[bytes], values: Sequence[bytes | None]) -> dict[bytes, Score]:
    """The scores a cache knew. The format is part of the key, and CircuitBreaker checks what comes from outside."""
    return {key: _decode(value) for key, value in zip(keys, values, strict=True) if value}
