"""Loads models into memory, each in the first precision that passes its self-test on this processor."""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from launch.embedded import cross_encoder, e5, minilm
from launch.embedded.bilingual import Bilingual
from launch.embedded.calibration import VERSION
from launch.embedded.cross_encoder import CrossEncoder
from launch.embedded.e5 import E5
from launch.embedded.encoder import Encoder, Source
from launch.embedded.minilm import MiniLM
from launch.embedded.stored import load_graph
from launch.embedded.turns import Turns, usable_cores
from launch.embedded.weights import Precision, WeightsError

_TEXTS_PER_TURN = 2  # of 60 tokens, which takes 10 ms


class Tested(Protocol):
    """A model that can test itself."""

    def error(self) -> float:
        """The largest difference between its results for its own probes and the right ones."""
        ...


Model = TypeVar("Model", bound=Tested)


def load_bilingual(hub_cache: Path, cache: Path) -> Bilingual:
    """The default model, or its English half where multilingual-e5-small is not on this machine.

    Raises WeightsError if a file is missing or damaged, or if a model fails its self-test.
    """
    with ThreadPoolExecutor(1) as other:  # most of the time is spent in libraries that let another thread run
        loading = other.submit(_load_e5, hub_cache, cache)
        english, root = _load_minilm(hub_cache, cache)
        loaded = loading.result()
    turns = Turns(usable_cores(), _TEXTS_PER_TURN)
    if loaded is None:
        print(e5.MISSING, file=sys.stderr, flush=True)
        return Bilingual(english, None, turns, f"{root}/{VERSION}")
    multilingual, other_root = loaded
    return Bilingual(english, multilingual, turns, f"{root}+{other_root}/{VERSION}")


def load_cross_encoder(checkpoint: cross_encoder.Checkpoint, names: Sequence[str], cache: Path) -> CrossEncoder:
    """The cross-encoder under these names. Raises WeightsError if it fails its self-test."""
    known = cross_encoder.references(checkpoint, cache)
    model, root = load_tested(
        checkpoint.source,
        cache,
        lambda encoder: cross_encoder.Model(checkpoint, encoder, known),
        cross_encoder.TOLERANCE,
    )
    turns = Turns(usable_cores(), per_turn=1)
    precision = root.rpartition(":")[2]
    return CrossEncoder(model, names, f"{checkpoint.root}:{precision}", checkpoint.max_tokens, turns)


def load_tested(
    source: Source, cache: Path, make: Callable[[Encoder], Model], tolerance: Mapping[Precision, float]
) -> tuple[Model, str]:
    """The model that `make` makes of an encoder, and the text that tells its weights and precision.

    The quantised form is preferred. Raises WeightsError if not even float32 is within its tolerance.
    """
    precisions: tuple[Precision, ...] = (quantised_for(platform.machine(), _processor_flags()), "float32")
    for precision in precisions:
        model = make(Encoder(load_graph(source, precision, cache), source.embeddings))
        error = model.error()
        if error <= tolerance[precision]:
            return model, f"{source.name}@{source.sha256[:8]}:{precision}"
        print(f"self-test: {source.name}: {precision} is off by {error:.3f} here", file=sys.stderr, flush=True)
    raise WeightsError(f"self-test: no precision of {source.name} is right here; its scores could not be trusted")


def quantised_for(machine: str, flags: str) -> Precision:
    """The quantised form that is right on this processor. `graph` describes both forms."""
    adds_in_32_bits = "vnni" in flags or machine in ("aarch64", "arm64")
    return "int8" if adds_in_32_bits else "uint8"


def _load_minilm(hub_cache: Path, cache: Path) -> tuple[MiniLM, str]:
    checkpoint = minilm.find(hub_cache)
    tokenizer = minilm.read_tokenizer(checkpoint)
    source = minilm.source(checkpoint)
    return load_tested(source, cache, lambda encoder: MiniLM(tokenizer, encoder), minilm.TOLERANCE)


def _load_e5(hub_cache: Path, cache: Path) -> tuple[E5, str] | None:
    checkpoint = e5.find(hub_cache)
    if checkpoint is None:
        return None
    tokenizer = e5.load_tokenizer(checkpoint, cache)
    return load_tested(checkpoint.source, cache, lambda encoder: E5(tokenizer, encoder), checkpoint.tolerance)


def _processor_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: take the form that is right everywhere
        return ""
