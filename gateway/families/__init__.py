"""The families by name: a new one is a file and a row here."""

from collections.abc import Callable

from gateway.families.base import Family
from gateway.families.cross_encoder import NeedsPromptError, cross_encoder
from gateway.families.jina_v3 import JinaV3
from gateway.families.qwen3 import Qwen3
from gateway.families.qwen3_vl import Qwen3Vl
from gateway.families.recipes import (
    bge_reranker_gemma,
    ctxl_rerank_v2,
    jina_reranker_m0,
    mxbai_rerank_v2,
    nemotron_rerank,
    zerank,
)
from gateway.settings import ModelSettings, SettingsError

__all__ = ["FAMILIES", "Family", "family_of"]


def published(model: ModelSettings) -> Family:
    from gateway.families.published import published  # 0.1 s of import, needed by one family

    return published(model)


FAMILIES: dict[str, Callable[[ModelSettings], Family]] = {
    "cross-encoder": cross_encoder,
    "qwen3-reranker": Qwen3,
    "qwen3-vl-reranker": Qwen3Vl,
    "mxbai-rerank-v2": mxbai_rerank_v2,
    "zerank": zerank,
    "bge-reranker-gemma": bge_reranker_gemma,
    "nemotron-rerank": nemotron_rerank,
    "ctxl-rerank-v2": ctxl_rerank_v2,
    "jina-reranker-m0": jina_reranker_m0,
    "jina-reranker-v3": JinaV3,
    "published": published,
}


def family_of(name: str, model: ModelSettings) -> Family:
    """The recipe of the model called so. Raises SettingsError for an unknown family, or without its tokenizer."""
    if model.family not in FAMILIES:
        raise SettingsError(f"models.{name}.family: {model.family!r} is none of {', '.join(FAMILIES)}")
    try:
        return FAMILIES[model.family](model)
    except NeedsPromptError:
        prompted = ", ".join(known for known in FAMILIES if known != model.family)
        raise SettingsError(
            f"models.{name}.family: {model.family} joins query and document by special tokens, and this tokenizer has "
            f"none for that. The model reads a prompt: name its family, one of {prompted}"
        ) from None
    except SettingsError as error:
        raise SettingsError(f"models.{name}.{error}") from None
