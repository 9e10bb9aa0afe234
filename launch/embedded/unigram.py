"""The tokenizer of multilingual-e5-small, which is XLM-RoBERTa's, run by the library that it was made with.

Google's sentencepiece holds the 250,000 pieces in 60 MB, and `tokenizers` in 300 MB. It normalises with the rules
`nmt_nfkc`, on which XLM-RoBERTa was trained, and it splits exactly as the original does. A caller's text is text: a
`</s>` in it is three characters.
"""

import struct
from collections.abc import Iterator, Sequence

import sentencepiece

Pieces = Sequence[tuple[str, float]]  # text and log probability of each token, by token id

BOS, EOS, UNKNOWN = 0, 2, 3
_KINDS = {0: 3, 1: 3, 2: 3, 3: 2}  # <s>, <pad>, </s> are control pieces, <unk> is the unknown one; all others are text
_CONTROL, _TEXT = 3, 1


class Unigram:
    """Token ids of texts. `model` is what `model_proto` gives."""

    def __init__(self, model: bytes) -> None:
        self._normalizer = sentencepiece.SentencePieceNormalizer(
            rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=True
        )
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def ids(self, text: str) -> list[int]:
        """Token ids of the whole text, with nothing added."""
        ids: list[int] = self._processor.encode(self._normalizer.normalize(text))
        return ids


def model_proto(pieces: Pieces) -> bytes:
    """The pieces as sentencepiece's ModelProto, whose field numbers are those of sentencepiece_model.proto.

    The processor gets normalised text, so it changes nothing but blanks.
    """
    last = len(pieces) - 1  # <mask>
    kinds = (_CONTROL if id_ == last else _KINDS.get(id_, _TEXT) for id_ in range(len(pieces)))
    written = (_bytes(1, _piece(text, score, kind)) for (text, score), kind in zip(pieces, kinds, strict=True))
    unigram = _number(3, 1) + _number(40, UNKNOWN) + _number(41, BOS) + _number(42, EOS) + _number(43, 1)
    identity = _bytes(1, b"identity") + _number(3, 1) + _number(4, 1) + _number(5, 1)
    return b"".join(written) + _bytes(2, unigram) + _bytes(3, identity)


def _piece(text: str, score: float, kind: int) -> bytes:
    return _bytes(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, kind)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, as protocol buffers write integers."""
    return bytes(_digits(value))


def _digits(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
