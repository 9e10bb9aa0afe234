"""The life of one program as a pure state machine: from (state, event) to (state, actions).

    WAITING ──due──▶ STARTING ──healthy──▶ READY
       ▲                │ exits, never was ready ──▶ FAILED (would fail the same way again)
       │                │ out of memory, a smaller attempt left: StepDown ──▶ WAITING
       └──back-off──────┴─── exits after it was ready, or unhealthy too long (by way of STOPPING)
    any ──stop──▶ STOPPING ──exits──▶ STOPPED
    IDLE, FAILED ──start──▶ WAITING

`supervisor` sends the events and carries out the actions.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace


class Phase(enum.Enum):
    """The phase of a program's life."""

    IDLE = "idle"  # not started before someone asks
    WAITING = "waiting"  # to be started at due_s
    STARTING = "starting"  # given up at due_s
    READY = "ready"
    STOPPING = "stopping"  # killed at due_s
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Exited:
    """The program has ended, and so has every process of its group."""

    status: int
    out_of_memory: bool = False


class Fact(enum.Enum):
    """An event without details."""

    TICK = "tick"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    STOP = "stop"  # a request; the second kills
    RESTART = "restart"  # a request
    START = "start"  # a request, without effect on a program that runs


Event = Exited | Fact


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the program with command line number `attempt`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StepDown:
    """The program ran out of memory. Announce command line number `attempt`, which needs less and is spawned next."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Say:
    """Show a line on the console."""

    text: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Report that the program is not started again."""

    reason: str


class Group(enum.Enum):
    """Signal the program's process group."""

    TERMINATE = "SIGTERM to the process group"
    KILL = "SIGKILL to the process group"


Action = Spawn | StepDown | Say | GiveUp | Group


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a program's life."""

    attempts: int = 1  # number of command lines: the preferred one, then those that need less memory
    start_timeout_s: float = 1800.0  # a first start may download 16 GB
    stop_grace_s: float = 10.0
    unhealthy_s: float = 60.0  # a busy engine may be slow to answer
    backoff_s: float = 1.0
    longest_backoff_s: float = 30.0
    settled_s: float = 120.0  # past failures are forgiven once it was ready for this long
    failures: int = 8  # in a row, each without settling


@dataclass(frozen=True, slots=True)
class State:
    """The state of one program. Times are of a monotonic clock."""

    phase: Phase = Phase.WAITING
    since_s: float = 0.0
    due_s: float = 0.0
    then: Phase = Phase.STOPPED  # the phase after STOPPING
    attempt: int = 0
    was_ready: bool = False
    failures: int = 0
    sick_since_s: float | None = None

    @property
    def over(self) -> bool:
        """True if nothing happens any more without a request."""
        return self.phase in (Phase.STOPPED, Phase.FAILED)


Step = tuple[State, tuple[Action, ...]]


def step(state: State, event: Event, now_s: float, policy: Policy) -> Step:
    """The state after `event` and the actions to take. An event without a rule for the phase changes nothing."""
    if isinstance(event, Exited):
        react = _ENDS.get(state.phase)
        return react(state, event, now_s, policy) if react else (state, ())
    reaction = _REACTIONS.get((state.phase, event))
    return reaction(state, now_s, policy) if reaction else (state, ())


def _start_when_due(state: State, now_s: float, policy: Policy) -> Step:
    if now_s < state.due_s:
        return state, ()
    started = replace(state, phase=Phase.STARTING, since_s=now_s, due_s=now_s + policy.start_timeout_s)
    return started, (Spawn(state.attempt),)


def _wait_no_longer(state: State, now_s: float, _policy: Policy) -> Step:
    return replace(state, phase=Phase.WAITING, since_s=now_s, due_s=now_s, was_ready=False, failures=0), ()


def _become_ready(state: State, now_s: float, _policy: Policy) -> Step:
    ready = replace(state, phase=Phase.READY, since_s=now_s, was_ready=True, sick_since_s=None)
    return ready, (Say(f"ready after {now_s - state.since_s:.1f} s"),)


def _watch_start(state: State, now_s: float, policy: Policy) -> Step:
    if now_s < state.due_s:
        return state, ()
    stopping, actions = _end(state, now_s, policy, then=Phase.FAILED)
    return stopping, (*actions, GiveUp(f"not ready after {policy.start_timeout_s:.0f} s"))


def _feel_well(state: State, _now_s: float, _policy: Policy) -> Step:
    return replace(state, sick_since_s=None), ()


def _feel_sick(state: State, now_s: float, policy: Policy) -> Step:
    since = now_s if state.sick_since_s is None else state.sick_since_s
    if now_s - since < policy.unhealthy_s:
        return replace(state, sick_since_s=since), ()
    stopping, actions = _end(state, now_s, policy, then=Phase.WAITING)
    return stopping, (Say(f"gave no sign of health for {policy.unhealthy_s:.0f} s: restarting"), *actions)


def _restart(state: State, now_s: float, policy: Policy) -> Step:
    return _end(state, now_s, policy, then=Phase.WAITING)


def _stop(state: State, now_s: float, policy: Policy) -> Step:
    return _end(state, now_s, policy, then=Phase.STOPPED)


def _stop_waiting(state: State, now_s: float, _policy: Policy) -> Step:
    return replace(state, phase=Phase.STOPPED, since_s=now_s), ()


def _stop_at_once(state: State, _now_s: float, _policy: Policy) -> Step:
    asked_before = state.then is Phase.STOPPED
    then = Phase.FAILED if state.then is Phase.FAILED else Phase.STOPPED
    return replace(state, then=then), ((Group.KILL,) if asked_before else ())


def _kill_when_due(state: State, now_s: float, policy: Policy) -> Step:
    if now_s < state.due_s:
        return state, ()
    return replace(state, due_s=now_s + policy.stop_grace_s), (Group.KILL,)


def _end(state: State, now_s: float, policy: Policy, *, then: Phase) -> Step:
    stopping = replace(
        state,
        phase=Phase.STOPPING,
        since_s=now_s,
        due_s=now_s + policy.stop_grace_s,
        then=then,
        sick_since_s=None,
    )
    return stopping, (Group.TERMINATE,)


def _died_starting(state: State, event: Exited, now_s: float, policy: Policy) -> Step:
    if event.out_of_memory and state.attempt + 1 < policy.attempts:
        smaller = replace(state, phase=Phase.WAITING, since_s=now_s, due_s=now_s, attempt=state.attempt + 1)
        return smaller, (StepDown(smaller.attempt),)
    if not state.was_ready:
        cause = "ran out of memory" if event.out_of_memory else f"ended with {describe_status(event.status)}"
        failed = replace(state, phase=Phase.FAILED, since_s=now_s)
        return failed, (GiveUp(f"{cause} before it was ready"),)
    return _try_again(state, event, now_s, policy)


def _died_ready(state: State, event: Exited, now_s: float, policy: Policy) -> Step:
    settled = now_s - state.since_s >= policy.settled_s
    return _try_again(replace(state, failures=0) if settled else state, event, now_s, policy)


def _try_again(state: State, event: Exited, now_s: float, policy: Policy) -> Step:
    cause = f"ended with {describe_status(event.status)}"
    if state.failures + 1 >= policy.failures:
        return replace(state, phase=Phase.FAILED, since_s=now_s), (
            GiveUp(f"{cause}, {policy.failures} times in a row"),
        )
    wait_s = min(policy.backoff_s * 2**state.failures, policy.longest_backoff_s)
    waiting = replace(state, phase=Phase.WAITING, since_s=now_s, due_s=now_s + wait_s, failures=state.failures + 1)
    return waiting, (Say(f"{cause}: starting it again in {wait_s:g} s"),)


def _ended_as_asked(state: State, _event: Exited, now_s: float, _policy: Policy) -> Step:
    return replace(state, phase=state.then, since_s=now_s, due_s=now_s), ()


def describe_status(status: int) -> str:
    """An exit status in words. Like subprocess, a negative status is a signal's number."""
    return f"signal {-status}" if status < 0 else f"status {status}"


_REACTIONS: dict[tuple[Phase, Fact], Callable[[State, float, Policy], Step]] = {
    (Phase.IDLE, Fact.START): _wait_no_longer,
    (Phase.IDLE, Fact.STOP): _stop_waiting,
    (Phase.FAILED, Fact.START): _wait_no_longer,
    (Phase.FAILED, Fact.STOP): _stop_waiting,
    (Phase.WAITING, Fact.TICK): _start_when_due,
    (Phase.WAITING, Fact.STOP): _stop_waiting,
    (Phase.STARTING, Fact.TICK): _watch_start,
    (Phase.STARTING, Fact.HEALTHY): _become_ready,
    (Phase.STARTING, Fact.RESTART): _restart,
    (Phase.STARTING, Fact.STOP): _stop,
    (Phase.READY, Fact.HEALTHY): _feel_well,
    (Phase.READY, Fact.UNHEALTHY): _feel_sick,
    (Phase.READY, Fact.RESTART): _restart,
    (Phase.READY, Fact.STOP): _stop,
    (Phase.STOPPING, Fact.TICK): _kill_when_due,
    (Phase.STOPPING, Fact.STOP): _stop_at_once,
}

_ENDS: dict[Phase, Callable[[State, Exited, float, Policy], Step]] = {
    Phase.STARTING: _died_starting,
    Phase.READY: _died_ready,
    Phase.STOPPING: _ended_as_asked,
}
