"""The families by name: a new one is a file and a row here."""

from collections.abc import Callable

from gateway.families.base import Family
from gateway.families.cross_encoder import cross_encoder
from gateway.families.qwen3 import Qwen3
from gateway.families.qwen3_vl import Qwen3Vl
from gateway.settings import ModelSettings, SettingsError

__all__ = ["FAMILIES", "Family", "family_of"]

FAMILIES: dict[str, Callable[[ModelSettings], Family]] = {
    "cross-encoder": cross_encoder,
    "qwen3-reranker": Qwen3,
    "qwen3-vl-reranker": Qwen3Vl,
}


def family_of(name: str, model: ModelSettings) -> Family:
    """The recipe of the model called so. Raises SettingsError for an unknown family, or without its tokenizer."""
    family = FAMILIES.get(model.family)
    if family is None:
        raise SettingsError(f"models.{name}.family: {model.family!r} is none of {', '.join(FAMILIES)}")
    try:
        return family(model)
    except SettingsError as error:
        raise SettingsError(f"models.{name}.{error}") from None
