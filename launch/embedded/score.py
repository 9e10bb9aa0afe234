"""The score of a pair: the probability that the document answers the query, from the cosine of their vectors."""

import math
from collections.abc import Callable

from launch.embedded.encoder import Encoded
from launch.embedded.weights import Precision

# A logistic fit of "rated fully relevant" on the cosine, by maximum likelihood, over 1,446 pairs of product search:
# 48 queries with about 30 products each that a search had found, rated 0 to 3. Even the wrong products there are near
# misses. So 0.5 separates right from almost right, and documents on another subject score below 0.1.
SLOPE = 8.3
MIDDLE = 0.457

# Query, document, and their cosine by sentence-transformers in float32.
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
    """The score, 0 to 1. It rises strictly with the cosine."""
    return 1 / (1 + math.exp(-SLOPE * (cosine(query, document) - MIDDLE)))


def logit(score: float) -> float:
    """The number whose sigmoid is the score. No cosine gives a score of exactly 0 or 1."""
    return math.log(score / (1 - score))


def cosine(query: Encoded, document: Encoded) -> float:
    return float(query.vector @ document.vector)


def largest_error(encode: Callable[[str], Encoded]) -> float:
    """The self-test: the largest difference between the cosines of the probes and the recorded ones."""
    return max(abs(cosine(encode(query), encode(document)) - expected) for query, document, expected in PROBES)
