"""The score of a pair: how probably the document answers the query, from the cosine of their vectors alone."""

import math
from collections.abc import Callable

from launch.embedded.encoder import Encoded
from launch.embedded.weights import Precision

# A logistic fit of "rated fully relevant" on the cosine, by maximum likelihood, over 1,446 pairs of product search:
# 48 queries, each with some 30 products that a search had found for it, rated 0 to 3. Even the wrong ones are near
# misses there, so 0.5 parts right from almost right; what is off the subject altogether scores below 0.1.
SLOPE = 8.3
MIDDLE = 0.457

# Pairs with their cosines by sentence-transformers in float32.
PROBES = (
    ("how to reset a forgotten password", "Click 'Forgot password' and follow the link in the e-mail.", 0.7531),
    ("how to reset a forgotten password", "The museum is closed on Mondays.", 0.0725),
    ("symptoms of dehydration", "Dry mouth, dark urine and dizziness are signs that the body lacks water.", 0.6252),
    ("symptoms of dehydration", "Dehydration of fruit makes it keep for months.", 0.3296),
    ("东京有多少人口？", "东京的人口约为一千四百万。", 0.7500),
    ("🎉 naïve café", "A café where people celebrate.", 0.5502),
)
TOLERANCE: dict[Precision, float] = {"int8": 0.015, "uint8": 0.015, "float32": 0.001}


def score(query: Encoded, document: Encoded) -> float:
    """0 to 1, strictly rising with the cosine."""
    return 1 / (1 + math.exp(-SLOPE * (cosine(query, document) - MIDDLE)))


def cosine(query: Encoded, document: Encoded) -> float:
    return float(query.vector @ document.vector)


def largest_error(encode: Callable[[str], Encoded]) -> float:
    """The self-test: how far, at most, the cosines of the probes are from the recorded ones."""
    return max(abs(cosine(encode(query), encode(document)) - expected) for query, document, expected in PROBES)
