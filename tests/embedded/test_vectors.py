"""The graphs give the vectors of the models' own libraries, text by text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from launch.embedded import e5, minilm
from launch.embedded.encoder import Encoder, Source
from launch.embedded.graph import build
from launch.embedded.weights import Precision
from tests.embedded.recorded import E5, MINILM, TEXTS, Recorded

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Precision], Vectors]


def encoder(source: Source, precision: Precision) -> Encoder:
    return Encoder(build(source.weights(), source.architecture, precision), source.embeddings)


def by_minilm(precision: Precision) -> Vectors:
    checkpoint = minilm.find(Path("no-hub-cache"))
    model = minilm.MiniLM(minilm.read_tokenizer(checkpoint), encoder(minilm.source(checkpoint), precision))
    return np.array([model.vector(text) for text in TEXTS])


def by_e5(precision: Precision) -> Vectors:
    checkpoint = e5.find(Path("no-hub-cache"))
    assert checkpoint
    model = e5.E5(e5.load_tokenizer(checkpoint, Path("/nowhere")), encoder(checkpoint.source, precision))
    return np.array([model.passage(text) for text in TEXTS])


MODELS = pytest.mark.parametrize(("encode", "recorded"), [(by_minilm, MINILM), (by_e5, E5)], ids=["minilm", "e5"])


@MODELS
def test_float32_vectors_are_those_of_the_models_library(encode: Encode, recorded: Recorded) -> None:
    np.testing.assert_allclose(encode("float32"), recorded.vectors, atol=1e-5)


@MODELS
def test_quantised_vectors_point_the_same_way(encode: Encode, recorded: Recorded) -> None:
    quantised = encode("int8")
    assert (quantised * recorded.vectors).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(quantised, axis=1), 1, atol=1e-5)


@MODELS
def test_both_quantised_forms_give_equal_vectors(encode: Encode, recorded: Recorded) -> None:
    np.testing.assert_allclose(encode("int8"), encode("uint8"), atol=1e-6)
