"""Encodes texts as unit vectors on all cores. Requests take turns every few texts, so that a long one blocks nobody."""

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

SEP = 102  # the id of [SEP], the last token of every text, even of a text that was cut

# Only the first characters of a text are tokenised. 256 tokens of ordinary text are about 1,000 characters, and the
# tokens of a document with 60 million characters would fill gigabytes.
MAX_CHARACTERS = 16_384

# Texts per turn of a core, about 10 ms: long enough to hide the cost of switching threads, short enough to be fair.
SLICE = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded text: its vector, float32 [384] of length 1, and the number of tokens that the model read."""

    vector: npt.NDArray[np.float32]
    tokens: int


class Encoder:
    """Runs a single-threaded `session` on `cores` threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, *, cores: int) -> None:
        self._session, self._tokenizer, self._cores = session, tokenizer, cores
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="encode")
        self._free = asyncio.Semaphore(cores)

    async def encode(self, texts: Sequence[str]) -> dict[str, Encoded]:
        """The encoded texts, by text. A text that occurs twice is encoded once.

        A request has at most `cores` slices waiting, and the semaphore is first come, first served. So requests take
        turns slice by slice: a request of 10,000 texts delays one of 10 texts by some hundredths of a second.
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
        """Encode one text in the caller's thread. Each text is a run of its own; `graph` gives the reason."""
        ids = self.token_ids(text[:MAX_CHARACTERS])
        if len(ids) > MAX_TOKENS:
            ids = [*ids[: MAX_TOKENS - 1], SEP]
        (vector,) = self._session.run(None, {"ids": np.array(ids, np.int64)})
        return Encoded(vector, len(ids))

    def token_ids(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of the whole text. `special` adds [CLS] and [SEP]."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def token_strings(self, ids: Sequence[int]) -> list[str | None]:
        return [self._tokenizer.id_to_token(token) for token in ids]

    def _encode_slice(self, texts: Sequence[str]) -> list[Encoded]:
        return [self.encode_one(text) for text in texts]


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """A single-threaded session. onnxruntime raises errors without a common class if it cannot run the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def open_tokenizer(content: str) -> Tokenizer:
    """The tokenizer without the padding and truncation to 128 tokens of tokenizer.json, as in sentence-transformers."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def usable_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Number of cores this process may use, by its affinity and, in a container, its cgroup's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no quota
        return allowed
