"""The graph gives the vectors of sentence-transformers, text by text."""

import numpy as np
import pytest

from launch.embedded import weights
from launch.embedded.encoder import Encoded, Encoder, open_session, open_tokenizer
from launch.embedded.graph import build
from tests.embedded.recorded import TEXTS, TOKENS, VECTORS


def encoded(checkpoint: weights.Checkpoint, precision: weights.Precision) -> list[Encoded]:
    tokenizer = open_tokenizer(weights.read_tokenizer(checkpoint))
    session = open_session(build(weights.read_weights(checkpoint), precision))
    encoder = Encoder(session, tokenizer, cores=1)
    return [encoder.encode_one(text) for text in TEXTS]


def test_float32_vectors_are_those_of_sentence_transformers(checkpoint: weights.Checkpoint) -> None:
    texts = encoded(checkpoint, "float32")
    assert [text.tokens for text in texts] == TOKENS
    np.testing.assert_allclose(np.array([text.vector for text in texts]), VECTORS, atol=1e-5)


def test_quantised_vectors_point_the_same_way(checkpoint: weights.Checkpoint) -> None:
    for text, vector in zip(encoded(checkpoint, "int8"), VECTORS, strict=True):
        assert text.vector @ vector > 0.99


def test_both_quantised_forms_give_equal_vectors(checkpoint: weights.Checkpoint) -> None:
    pairs = zip(encoded(checkpoint, "int8"), encoded(checkpoint, "uint8"), strict=True)
    assert max(np.abs(signed.vector - unsigned.vector).max() for signed, unsigned in pairs) < 1e-6


@pytest.mark.parametrize("precision", ["int8", "uint8", "float32"])
def test_every_vector_has_length_one(checkpoint: weights.Checkpoint, precision: weights.Precision) -> None:
    for text in encoded(checkpoint, precision):
        assert np.linalg.norm(text.vector) == pytest.approx(1, abs=1e-5)
