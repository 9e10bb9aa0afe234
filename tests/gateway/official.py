"""The official prompts, copied from the models' own sources: a template changed in the gateway fails against these."""

from typing import NamedTuple

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)


class Official(NamedTuple):
    """A prompt is PREFIX, head, label with the document, suffix."""

    head: str
    label: str
    suffix: str
    instruction: str


# https://github.com/QwenLM/Qwen3-Embedding (README, "Qwen3-Reranker with transformers").
QWEN3 = Official(
    "<Instruct>: {instruction}\n<Query>: {query}\n",
    "<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "Given a web search query, retrieve relevant passages that answer the query",
)
# https://github.com/QwenLM/Qwen3-VL-Embedding (src/models/qwen3_vl_reranker.py).
QWEN3_VL = Official(
    "<Instruct>: {instruction}<Query>:{query}\n",
    "<Document>:",
    "<|im_end|>\n<|im_start|>assistant\n",
    "Given a search query, retrieve relevant candidates that answer the query.",
)
