"""A small tokenizer that behaves like Qwen3's: the same split into words, byte pairs, and control tokens."""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.gateway.official import PREFIX, QWEN3

# Source: tokenizer.json and tokenizer_config.json of Qwen/Qwen3-Reranker-0.6B; ADDED has "special": false there.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<tool_response>", "<think>", "</think>"]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
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


def save(tokenizer: Tokenizer, folder: Path) -> Path:
    """The folder, with the tokenizer in it as models have it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
