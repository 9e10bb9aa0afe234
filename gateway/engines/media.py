"""Pictures and videos on their way to an engine: in calls of a bounded size, each prepared before its call."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.domain import Blob, Pair, Refused, blobs_of
from gateway.errors import BadMedia
from gateway.media.vision import MediaOptions, Prepared

if TYPE_CHECKING:  # a gateway that reads text only never loads Pillow and PyAV
    from gateway.media.preprocess import Preprocessor

# Pairs of one call: a picture takes up to 7 MB in it, a video some 20, and the engine holds all of them at once.
PAIRS_PER_CALL = 16
MEGABYTES = {"image": 7, "video": 20}
MEGABYTES_PER_CALL = 64


def calls(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Pairs in calls of a bounded size, each distinct picture and video counted once a call."""
    call: list[Pair] = []
    blobs: set[Blob] = set()
    for pair in pairs:
        more = blobs.union(pair.blobs)
        if call and (len(call) == PAIRS_PER_CALL or sum(MEGABYTES[blob.kind] for blob in more) > MEGABYTES_PER_CALL):
            yield call
            call, more = [], set(pair.blobs)
        call.append(pair)
        blobs = more
    if call:
        yield call


async def prepare(
    pairs: Sequence[Pair], preprocessor: "Preprocessor", options: MediaOptions
) -> tuple[dict[Blob, Prepared], dict[Pair, Refused]]:
    """Every picture and video of the pairs as the model reads it, and the pairs that hold one that cannot be read."""
    blobs = list(dict.fromkeys(blob for pair in pairs for blob in pair.blobs))
    results = await asyncio.gather(*(preprocessor.prepare(blob, options) for blob in blobs), return_exceptions=True)
    prepared: dict[Blob, Prepared] = {}
    bad: dict[Blob, BadMedia] = {}
    for blob, result in zip(blobs, results, strict=True):
        if isinstance(result, Prepared):
            prepared[blob] = result
        elif isinstance(result, BadMedia):
            bad[blob] = result
        else:
            raise result
    return prepared, {pair: refused for pair in pairs if (refused := _unreadable(pair, bad))}


def _unreadable(pair: Pair, bad: Mapping[Blob, BadMedia]) -> Refused | None:
    """The first picture or video of a pair that cannot be read, if there is one."""
    for side, in_query in ((pair.query, True), (pair.document, False)):
        for part, blob in enumerate(blobs_of(side)):
            if error := bad.get(blob):
                return Refused(str(error), error.code, part, in_query)
    return None
