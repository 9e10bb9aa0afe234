"""The official prompts, copied from the models' own sources: a template changed in the gateway fails against these."""

from collections.abc import Callable
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


# The recipes below are written from the authors' code: `read` encodes a caller's text with what stands around it in one
# piece, `obey` the template's own pieces. max_tokens is the model's longest prompt.
Encode = Callable[[str], list[int]]

MXBAI_PREFIX = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 "
    "for not relevant, 1 for relevant).\nRelevance:"
)
MXBAI_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"


def mxbai(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: mxbai_rerank_v2.py of mxbai_rerank 0.1.6, `prepare_predefined_inputs` and `prepare_inputs`."""
    prefix, separator, task, suffix = map(obey, (MXBAI_PREFIX, "\n", MXBAI_TASK, MXBAI_SUFFIX))
    predefined = len(prefix) + len(task) + len(suffix) + len(separator)
    max_length = max_tokens - predefined
    query_prompt = f"query: {query}"
    if instruction:
        query_prompt = f"instruction: {instruction}\n{query_prompt}"
    query_ids = read(query_prompt)[: max_length * 3 // 4]
    document_ids = read(f"document: {document}")[: min(max_tokens - len(query_ids) - predefined, max_length)]
    second = (separator + document_ids)[: max_length - len(query_ids)]
    return prefix + query_ids + second + separator + task + suffix


def zerank(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """The author's chat template over the whole text. max_tokens cuts the document, which the author leaves whole."""
    if instruction:
        query = f"<query>{query}</query>\n<instruction>{instruction}</instruction>"
    head = [*obey("<|im_start|>"), *read(f"system\n{query}"), *obey("<|im_end|>\n<|im_start|>")]
    suffix = obey("<|im_end|>\n<|im_start|>assistant\n")
    return head + read(f"user\n{document}")[: max_tokens - len(head) - len(suffix)] + suffix


GEMMA_PROMPT = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


def gemma(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: inference/reranker/decoder_only/base.py of FlagEmbedding 1.4.2, `compute_score_single_gpu`."""
    separator, prompt = obey("\n"), obey(GEMMA_PROMPT)
    max_length = max_tokens - 2 * (len(separator) + len(prompt))
    encode_max_length = max_length + len(separator) + len(prompt)
    first = obey("<bos>") + read(f"A: {query}")[: max_length * 3 // 4]
    second = separator + read(f"B: {document}")[:max_length]
    return first + second[: encode_max_length - len(first)] + separator + prompt


def nemotron(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: the model card of nvidia/llama-nemotron-rerank-1b-v2: one text, truncated on the right."""
    return (obey("<|endoftext|>") + read(f"question:{query} \n \n passage:{document}"))[:max_tokens]


def jina_m0(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: modeling.py of jinaai/jina-reranker-m0, and vLLM's jina_vl.py: the score token is 100."""
    return [*read(f"**Document**:\n{document}\n**Query**:\n{query}"), 100]


def ctxl(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: the model card of ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b, `format_prompts`."""
    if instruction:
        instruction = f" {instruction}"
    return read(
        "Check whether a given document contains information helpful to answer the query.\n"
        f"<Document> {document}\n<Query> {query}{instruction} ??"
    )


def jina_v3(query: str, docs: list[str], instruction: str | None) -> str:
    """Source: modeling.py of jinaai/jina-reranker-v3, `format_docs_prompts_func`."""
    prefix = (
        "<|im_start|>system\n"
        "You are a search relevance expert who can determine a ranking of the passages based on how relevant they are "
        "to the query. "
        "If the query is a question, how relevant a passage is depends on how well it answers the question. "
        "If not, try to analyze the intent of the query and assess how well each passage satisfies the intent. "
        "If an instruction is provided, you should follow the instruction when determining the ranking."
        "<|im_end|>\n<|im_start|>user\n"
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    prompt = (
        f"I will provide you with {len(docs)} passages, each indicated by a numerical identifier. "
        f"Rank the passages based on their relevance to query: {query}\n"
    )
    if instruction:
        prompt += f"<instruct>\n{instruction}\n</instruct>\n"
    doc_prompts = [f'<passage id="{i}">\n{doc}<|embed_token|>\n</passage>' for i, doc in enumerate(docs)]
    prompt += "\n".join(doc_prompts) + "\n"
    prompt += f"<query>\n{query}<|rerank_token|>\n</query>"
    return prefix + prompt + suffix


def roberta(read: Encode, obey: Encode, query: str, document: str, instruction: str, max_tokens: int) -> list[int]:
    """Source: CrossEncoder of sentence-transformers, whose tokenizer joins RoBERTa's pairs and cuts the longer text."""
    ids = [*obey("<|im_start|>"), *read(query), *obey("<|im_end|><|im_end|>"), *read(document)]
    return [*ids[: max_tokens - 1], *obey("<|im_end|>")]
