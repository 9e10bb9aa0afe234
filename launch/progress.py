"""How far an engine's start has come, by what it prints: a share of its stages, not of the time they take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    share: float  # 0 to 1
    stage: str


@dataclass(frozen=True, slots=True)
class _Stage:
    """A line of vLLM's log; where it gives percents they count from `start` to `end`."""

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


def progress(lines: Iterable[str]) -> Progress | None:
    """The furthest stage that these lines tell of (several processes print into one log); None where none does."""
    found = [one for line in lines for one in _told(line)]
    return max(found, key=lambda one: one.share, default=None)


def _told(line: str) -> Iterable[Progress]:
    for stage in _STAGES:
        if match := stage.sign.search(line):
            percent = int(match[1]) if match.re.groups else 0
            yield Progress(round(stage.start + (stage.end - stage.start) * percent / 100, 3), stage.words)
