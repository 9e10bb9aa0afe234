"""A small tokenizer that behaves like Qwen3's: the same split into words, byte pairs, and control tokens."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.gateway.official import PREFIX, QWEN3

# Source: tokenizer.json and tokenizer_config.json of Qwen/Qwen3-Reranker-0.6B; ADDED has "special": false there.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<tool_response>", "<think>", "</think>"]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Source: tokenizer.json of google/gemma-2b, which lists them as added tokens that are not special.
SYMBOLS = [AddedToken(symbol, normalized=False) for symbol in ("\n\n", "\n\n\n", "<h1>", "</h1>")]
# Enough text for merges within words, across spaces and newlines, and within letters of several bytes.
TEXT = [
    *(PREFIX, QWEN3.suffix, f"<Instruct>: {QWEN3.instruction}\n<Query>: what is\n<Document>: it is\n\n"),
    "The capital of France is Paris; which city is the largest of them all, and where does the river run?",
    "如何重置我的密码？打开设置，然后点击忘记密码。 Où est la bibliothèque? 🚗🚗  def main():\n    return yes\n",
]


def qwen_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 2, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ADDED])
    return tokenizer


def llama_like() -> Tokenizer:
    """The same, but with a token of its own before every text, as Llama's has."""
    tokenizer = qwen_like()
    start = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[start])
    return tokenizer


def bert_like() -> Tokenizer:
    """The same, but with tokens of its own around a text and between two, as a cross-encoder's has."""
    tokenizer = qwen_like()
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<|im_start|>", "<|im_end|>")]
    start, end = (name for name, _ in ids)
    tokenizer.post_processor = processors.TemplateProcessing(f"{start} $A {end}", f"{start} $A {end} $B:1 {end}:1", ids)
    return tokenizer


def roberta_like() -> Tokenizer:
    """The same as a RoBERTa's: its control tokens alone tell where the second text begins."""
    tokenizer = qwen_like()
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<|im_start|>", "<|im_end|>")]
    start, end = (name for name, _ in ids)
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{start} $A {end}", f"{start} $A {end} {end} $B {end}", ids
    )
    return tokenizer


def words_only() -> Tokenizer:
    """A cross-encoder's tokenizer that gives spaces no token, as BERT's."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "q": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def gemma_like() -> Tokenizer:
    """A tokenizer that behaves like Gemma's: byte pairs over spaces made visible, and symbols for runs of newlines."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.add_tokens(SYMBOLS)
    start = ("<bos>", tokenizer.token_to_id("<bos>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[start])
    return tokenizer


def without_control(tokenizer: Tokenizer, symbols: Sequence[AddedToken] = ()) -> Tokenizer:
    """The tokenizer of texts: it knows no control token at all."""
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    plain.add_tokens(list(symbols))
    return plain


def save(tokenizer: Tokenizer, folder: Path) -> Path:
    """The folder, with the tokenizer in it as models have it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
