"""Reads an engine's log: loading progress, out-of-memory errors, and the lines worth showing after a failure.

The patterns are those of vLLM's log. Nothing else in the launcher depends on its wording.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# The console shows at most this many lines of a program that failed.
_EXCERPT_LINES = 12
_NAMED_ERROR = re.compile(r"(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception): .+)")


@dataclass(frozen=True, slots=True)
class Progress:
    """Loading progress: the share of an engine's stages that is done, 0 to 1, and the current stage in words.

    The share counts stages, not time.
    """

    share: float
    stage: str


@dataclass(frozen=True, slots=True)
class _Stage:
    """A line of vLLM's log. If it gives a percentage, that percentage counts from `start` to `end`."""

    sign: re.Pattern[str]
    start: float
    end: float
    words: str


_STAGES = (
    _Stage(re.compile(r"Resolved architecture"), 0.02, 0.02, "reading the model's configuration"),
    _Stage(re.compile(r"Fetching \d+ files: +(\d+)%"), 0.03, 0.1, "downloading"),
    _Stage(re.compile(r"\.safetensors: +(\d+)%"), 0.05, 0.4, "downloading weights"),
    _Stage(re.compile(r"Starting to load model"), 0.4, 0.4, "loading weights"),
    _Stage(re.compile(r"Loading .*checkpoint shards: +(\d+)%"), 0.4, 0.6, "loading weights"),
    _Stage(re.compile(r"Loading weights took|Model loading took"), 0.6, 0.6, "compiling"),
    _Stage(re.compile(r"Dynamo bytecode transform|Compiling a graph"), 0.65, 0.65, "compiling"),
    _Stage(re.compile(r"torch\.compile takes|torch\.compile took"), 0.75, 0.75, "measuring memory"),
    _Stage(re.compile(r"KV cache size"), 0.8, 0.8, "warming up"),
    _Stage(re.compile(r"Capturing CUDA graphs.*?: +(\d+)%"), 0.8, 0.95, "capturing graphs"),
    _Stage(re.compile(r"init engine .* took"), 0.95, 0.95, "opening its port"),
    _Stage(re.compile(r"Starting vLLM .*server"), 0.97, 0.97, "opening its port"),
)

_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "OutOfMemoryError",
    "No available memory for the cache blocks",
    "larger than the maximum number of tokens that can be stored in KV cache",
    "larger than the available KV cache memory",
    "less than desired GPU memory utilization",
    "less than desired CPU memory utilization",
    "DefaultCPUAllocator: can't allocate memory",
    "Cannot allocate memory",
)


def progress(lines: Iterable[str]) -> Progress | None:
    """The furthest stage that the lines mention; None if they mention none. Several processes share one log."""
    mentioned = [found for line in lines for found in _stages_of(line)]
    return max(mentioned, key=lambda found: found.share, default=None)


def _stages_of(line: str) -> Iterator[Progress]:
    for stage in _STAGES:
        if match := stage.sign.search(line):
            percent = int(match[1]) if match.re.groups else 0
            yield Progress(round(stage.start + (stage.end - stage.start) * percent / 100, 3), stage.words)


def died_of_memory(lines: Iterable[str]) -> bool:
    """True if the last lines of an engine that ended say that it ran out of memory."""
    return any(sign in line for line in lines for sign in _OUT_OF_MEMORY)


def excerpt(lines: Iterable[str]) -> list[str]:
    """The lines to show of a program that failed: up to three errors that it named, then its last lines.

    vLLM names the cause of a failure before the tracebacks of its other processes.
    """
    lines = list(lines)
    named = list(dict.fromkeys(match[1] for line in lines if (match := _NAMED_ERROR.search(line))))[:3]
    last = lines[-_EXCERPT_LINES + len(named) :]
    return [*(error for error in named if error not in last), *last]
