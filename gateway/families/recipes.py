"""The recipes that authors publish as code, as data. Those that they publish as files are read by `published`."""

import msgspec

from gateway.families.base import Flags
from gateway.families.recipe import START, Control, Ids, Recipe, RecipeFamily, text
from gateway.families.tokenizer import file_of
from gateway.settings import ModelSettings, SettingsError

# https://github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank_v2.py of 0.1.6. Its max_length is the tokens of query,
# newline and document; `normalize=True` takes half of the largest score expected: 4.5 for base, 6 for large.
_MXBAI_PREFIX = Control(
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
_MXBAI_REST = (
    Control("\n"),
    text("document: {document}"),
    Control("\n"),
    Control(
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    ),
    Control("<|im_end|>\n<|im_start|>assistant\n"),
)
MXBAI = Recipe(
    (_MXBAI_PREFIX, text("query: {query}"), *_MXBAI_REST),
    (_MXBAI_PREFIX, text("instruction: {instruction}\nquery: {query}"), *_MXBAI_REST),
    query_share=(3, 4),
    outside=(1, 1),
    mean=4.5,
)

# https://huggingface.co/zeroentropy/zerank-2: the chat template's system message is the query, the user's the document.
# The logit of "Yes" is divided by 5 there. An instruction is written as its documentation says.
_ZERANK_REST = (
    Control("<|im_end|>\n<|im_start|>"),
    text("user\n{document}"),
    Control("<|im_end|>\n<|im_start|>assistant\n"),
)
ZERANK = Recipe(
    (Control("<|im_start|>"), text("system\n{query}"), *_ZERANK_REST),
    (
        Control("<|im_start|>"),
        text("system\n<query>{query}</query>\n<instruction>{instruction}</instruction>"),
        *_ZERANK_REST,
    ),
    sigma=5.0,
)

# https://github.com/FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py of 1.4.2. Its max_length, which
# limits each text, leaves out the newline and the prompt at the end; the sum of both texts may be longer by as much.
BGE_GEMMA = Recipe(
    (
        Control("<bos>"),
        text("A: {query}"),
        Control("\n"),
        text("B: {document}"),
        Control("\n"),
        Control(
            "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
            "providing a prediction of either 'Yes' or 'No'."
        ),
    ),
    query_share=(3, 4),
    outside=(0, 2),
)

# https://huggingface.co/nvidia/llama-nemotron-rerank-1b-v2: one text, spaces around its newlines included.
# vLLM's own way to divide by the temperature is a flag, which would divide twice here.
NEMOTRON = Recipe((START, text("question:{query} \n \n passage:{document}")))

# https://huggingface.co/jinaai/jina-reranker-m0 and vLLM's jina_vl.py, which adds the score token 100 to its /score
# prompts, and subtracts the recipe's 2.65 from every logit, a raw one included.
JINA_M0 = Recipe((text("**Document**:\n{document}\n**Query**:\n{query}"), Ids((100,))), flags=Flags.NONE)

# https://huggingface.co/ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b: the logit of token id 0.
_CTXL = (
    "Check whether a given document contains information helpful to answer the query.\n<Document> {document}\n<Query> "
)
CTXL = Recipe((START, text(_CTXL + "{query} ??")), (START, text(_CTXL + "{query} {instruction} ??")))


class _NemotronConfig(msgspec.Struct):
    temperature: float = 1.0


def mxbai_rerank_v2(model: ModelSettings) -> RecipeFamily:
    return RecipeFamily(model, MXBAI)


def zerank(model: ModelSettings) -> RecipeFamily:
    return RecipeFamily(model, ZERANK)


def bge_reranker_gemma(model: ModelSettings) -> RecipeFamily:
    return RecipeFamily(model, BGE_GEMMA)


def jina_reranker_m0(model: ModelSettings) -> RecipeFamily:
    return RecipeFamily(model, JINA_M0)


def ctxl_rerank_v2(model: ModelSettings) -> RecipeFamily:
    return RecipeFamily(model, CTXL)


def nemotron_rerank(model: ModelSettings) -> RecipeFamily:
    """Divides by the temperature in the model's config.json, where the settings name no `logit_sigma`."""
    sigma = 1.0 if model.logit_sigma is not None else _temperature(model)
    return RecipeFamily(model, NEMOTRON._replace(sigma=sigma))


def _temperature(model: ModelSettings) -> float:
    """Of config.json; 1 is the default of NVIDIA's own class. Raises SettingsError."""
    try:
        content = file_of(model, "config.json").read_bytes()
        temperature = msgspec.json.decode(content, type=_NemotronConfig).temperature
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, SettingsError):
        temperature = 0.0
    if not 0.0 < temperature < float("inf"):
        raise SettingsError("logit_sigma: the model's config.json, which tells its temperature, cannot be read: set it")
    return temperature
