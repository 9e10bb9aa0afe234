"""The tokenizer of multilingual-e5-small is XLM-RoBERTa's, and usage counts what the gateway's tokenizer counts."""

import pytest
from tokenizers import Tokenizer

from launch.embedded import minilm
from launch.embedded.packaged import packaged_e5
from launch.embedded.q4 import Q4File
from launch.embedded.unigram import Unigram, model_proto
from tests.embedded.engine_process import Engine
from tests.embedded.recorded import TEXTS


@pytest.fixture(scope="module")
def unigram() -> Unigram:
    path = packaged_e5()
    assert path
    return Unigram(model_proto(Q4File(path).pieces()))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("query: hello world", [41, 1294, 12, 33600, 31, 8999]),
        # Full-width forms and ligatures are normalised.
        ("  你好，世界～ ５ﬁ  ", [6, 124084, 4, 3221, 6087, 190, 1029]),
        ("e\u0301", [393]),  # composed to é
        ("a\u200bb\u0001c", [10, 6, 65037]),  # a blank of no width is a blank, a control character nothing
        ("<s>x</s>", [4426, 7, 2740, 425, 42946, 7, 2740]),  # a caller's text is text
        ("", []),
        (" \n\t", []),
    ],
)
def test_texts_have_the_ids_of_xlm_roberta(unigram: Unigram, text: str, ids: list[int]) -> None:
    assert unigram.ids(text) == ids


def test_usage_is_the_length_of_the_pairs_by_the_tokenizer_that_the_gateway_has(
    engine: Engine, checkpoint: minilm.Checkpoint
) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = [text for text in TEXTS if len(tokenizer.encode(text)) <= 512] + ["日本の首都", "a [SEP] b", "مرحبا"]
    for query in texts:
        assert engine.tokens(query, *texts) == sum(len(tokenizer.encode(query, text)) for text in texts)
