"""Keeps the built graph on disk. Only the first start builds it, which takes 0.6 s."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from launch.embedded.weights import WEIGHTS_SHA256, Checkpoint, Precision, read_weights

RECIPE = Path(__file__).with_name("graph.py")


def load_graph(checkpoint: Checkpoint, precision: Precision, folder: Path) -> bytes:
    """The serialised graph, read from `folder` or built now and written there. Raises WeightsError.

    The name of the file has a digest of its sources and a digest of its content. So a damaged file, or one of another
    version, is not used and is replaced. If the folder cannot be written, the next start builds the graph again.
    """
    recipe = hashlib.sha256(WEIGHTS_SHA256.encode() + RECIPE.read_bytes()).hexdigest()
    prefix = f"all-MiniLM-L6-v2-{precision}-"
    with suppress(OSError):
        for path in folder.glob(f"{prefix}{recipe[:12]}-*.onnx"):
            content = path.read_bytes()
            if path.name == _name(prefix, recipe, content):
                return content

    from launch.embedded.graph import build  # only here: onnx takes 0.2 s to import

    content = build(read_weights(checkpoint), precision)
    with suppress(OSError):
        _replace(folder, prefix, _name(prefix, recipe, content), content)
    return content


def _name(prefix: str, recipe: str, content: bytes) -> str:
    return f"{prefix}{recipe[:12]}-{hashlib.sha256(content).hexdigest()}.onnx"


def _replace(folder: Path, prefix: str, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{os.getpid()}.unfinished"
    try:
        unfinished.write_bytes(content)
        for old in folder.glob(f"{prefix}*.onnx"):
            old.unlink()
        unfinished.rename(folder / name)
    finally:
        unfinished.unlink(missing_ok=True)
