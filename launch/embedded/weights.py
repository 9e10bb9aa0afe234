"""Reads tensors from safetensors files and refuses a damaged file, by sha256."""

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]
Precision = Literal["int8", "uint8", "float32"]

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_CHUNK_BYTES = 1 << 20


class WeightsError(Exception):
    """The weights are missing or unknown. The text tells the remedy."""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, read in pieces so that it never lies in memory as a whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, sha256: str) -> Path:
    """The path, if the file has this sha256. Raises WeightsError if not."""
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(f"{path} is damaged or another model: its sha256 is {found}, expected {sha256}")
    return path


def mapped(path: Path) -> mmap.mmap:
    """The bytes of a file, of which only those are read that are looked at."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_safetensors(path: Path) -> Weights:
    """The float tensors of a safetensors file, by name, mapped from the file. bfloat16 comes as its 16 bits.

    The format is eight bytes with the length of a JSON header (little endian), the header, then the tensors' bytes.
    Raises WeightsError if the file does not have it.
    """
    content = mapped(path)
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        floats = {name: entry for name, entry in header.items() if entry.get("dtype") in _DTYPES}
        return {name: _tensor(content, start, entry) for name, entry in floats.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error})") from None


def as_float32(tensor: Array) -> npt.NDArray[np.float32]:
    """The tensor as float32. 16-bit integers are bfloat16, the upper half of a float32."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32, copy=False)


def _tensor(content: mmap.mmap, start: int, entry: Mapping[str, Any]) -> Array:
    flat: Array = np.frombuffer(
        content, _DTYPES[entry["dtype"]], int(np.prod(entry["shape"])), start + entry["data_offsets"][0]
    )
    return flat.reshape(entry["shape"])
