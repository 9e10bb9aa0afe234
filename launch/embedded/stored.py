"""Keeps what takes long to build on disk: the graphs, and a tokenizer. Only the first start builds them."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from launch.embedded.encoder import Source
from launch.embedded.weights import Precision

RECIPE = Path(__file__).with_name("graph.py")


def load_graph(source: Source, precision: Precision, folder: Path) -> bytes:
    """The serialised graph, read from `folder` or built now and written there. Raises WeightsError."""

    def built() -> bytes:
        from launch.embedded.graph import build  # only here: onnx takes 0.2 s to import

        return build(source.weights(), source.architecture, precision)

    recipe = hashlib.sha256(f"{source.sha256}{source.architecture}".encode() + RECIPE.read_bytes()).hexdigest()
    return load(folder, f"{source.name}-{precision}-", f"{recipe[:12]}-", ".onnx", built)


def load(folder: Path, prefix: str, recipe: str, suffix: str, build: Callable[[], bytes]) -> bytes:
    """The content of a file of that prefix, recipe and suffix in `folder`, or built now and written there.

    The name of the file has a digest of its sources and a digest of its content. So a damaged file, or one of another
    version, is not used and is replaced. If the folder cannot be written, the next start builds the content again.
    """
    with suppress(OSError):
        for path in folder.glob(f"{prefix}{recipe}*{suffix}"):
            content = path.read_bytes()
            if path.name == _name(prefix + recipe, content, suffix):
                return content
    content = build()
    with suppress(OSError):
        _replace(folder, f"{prefix}*{suffix}", _name(prefix + recipe, content, suffix), content)
    return content


def _name(start: str, content: bytes, suffix: str) -> str:
    return f"{start}{hashlib.sha256(content).hexdigest()}{suffix}"


def _replace(folder: Path, outdated: str, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Of this file alone: a graph and a tokenizer are written at the same time, each in a thread of its own.
    unfinished = folder / f".{os.getpid()}.{name}.unfinished"
    try:
        unfinished.write_bytes(content)
        for old in folder.glob(outdated):
            old.unlink()
        unfinished.rename(folder / name)
    finally:
        unfinished.unlink(missing_ok=True)
