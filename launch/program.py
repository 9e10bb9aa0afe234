"""A program for the supervisor to keep running, and the part of it that only an engine has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch.lifecycle import Policy


@dataclass(frozen=True, slots=True)
class Attempt:
    """One command line of a program. The console shows `note` when the supervisor steps down to it."""

    command: Sequence[str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineRole:
    """The part of a program that only an engine has.

    model: the name under which the status server reports and starts it.
    device: engines on the same device load one after the other, because each would count the other's memory as free.
    memory_advice: shown when the smallest attempt runs out of memory too.
    on_step_down: called with the number of the attempt before that attempt starts.
    restarts: names of programs that restart at a step down.
    """

    model: str
    device: str = ""
    memory_advice: str = ""
    on_step_down: Callable[[int], None] = lambda _attempt: None
    restarts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running.

    attempts: command lines, from the preferred one to those that need less memory.
    health_url: answers 200 when the program is ready.
    idle: not started before someone asks. optional: when it is given up, the other programs go on.
    """

    name: str
    attempts: Sequence[Attempt]
    health_url: str
    log: Path
    environment: Mapping[str, str]
    policy: Policy = field(default_factory=Policy)
    idle: bool = False
    optional: bool = False
    engine: EngineRole | None = None
