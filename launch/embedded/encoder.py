"""Turns texts into unit vectors on all cores, a few texts at a time, so that no request waits for a whole other one."""

import asyncio
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from launch.embedded.weights import MAX_TOKENS

SEP = 102  # the id that closes every text, also one that was cut

# What of a text is tokenised at all: 256 tokens of ordinary text are 1,000 characters, and the tokens of a document of
# 60 million would fill gigabytes.
MAX_CHARACTERS = 16_384

# Texts a core takes at a time, about 10 ms: enough to hide the change of threads, short enough to be fair.
SLICE = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as the model read it: float32 [384] of length 1, and the tokens that went into it."""

    vector: npt.NDArray[np.float32]
    tokens: int


class Encoder:
    """`session` must be single-threaded: the cores are kept busy by as many runs at once."""

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, *, cores: int) -> None:
        self._session, self._tokenizer, self._cores = session, tokenizer, cores
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="encode")
        self._free = asyncio.Semaphore(cores)

    async def encode(self, texts: Sequence[str]) -> dict[str, Encoded]:
        """Every distinct text once.

        A request never has more than `cores` slices waiting, and the semaphore is first come, first served:
        so requests take turns slice by slice, and one of 10,000 texts delays one of 10 by some hundredths of a second.
        """
        distinct = list(dict.fromkeys(texts))
        slices = iter([distinct[start : start + SLICE] for start in range(0, len(distinct), SLICE)])
        encoded: dict[str, Encoded] = {}

        async def work() -> None:
            for some in slices:
                async with self._free:
                    run = asyncio.get_running_loop().run_in_executor(self._threads, self._encode_slice, some)
                    encoded.update(zip(some, await run, strict=True))

        async with asyncio.TaskGroup() as group:
            for _ in range(self._cores):
                group.create_task(work())
        return encoded

    def encode_one(self, text: str) -> Encoded:
        """The text alone, in the caller's thread. Each text is a run of its own: see `graph` for why."""
        ids = self.token_ids(text[:MAX_CHARACTERS])
        if len(ids) > MAX_TOKENS:
            ids = [*ids[: MAX_TOKENS - 1], SEP]
        (vector,) = self._session.run(None, {"ids": np.array(ids, np.int64)})
        return Encoded(vector, len(ids))

    def token_ids(self, text: str, *, special: bool = True) -> list[int]:
        """All of the text's tokens, however many; `special` adds [CLS] and [SEP]."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def token_strings(self, ids: Sequence[int]) -> list[str | None]:
        return [self._tokenizer.id_to_token(token) for token in ids]

    def _encode_slice(self, texts: Sequence[str]) -> list[Encoded]:
        return [self.encode_one(text) for text in texts]


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """Raises whatever onnxruntime does (it has no common class) when the bytes are not a graph it can run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def open_tokenizer(content: str) -> Tokenizer:
    """Without the fixed 128 tokens that tokenizer.json asks for: sentence-transformers ignores them too."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def usable_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores this process may really use: its affinity, and in a container the quota of its cgroup."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no quota
        return allowed
