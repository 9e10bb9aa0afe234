"""The life of a program as histories: events with their times, and the actions that follow."""

import pytest

from launch.lifecycle import (
    Action,
    Event,
    Exited,
    Fact,
    GiveUp,
    Group,
    Phase,
    Policy,
    Say,
    Spawn,
    State,
    StepDown,
    step,
)

POLICY = Policy(
    attempts=3, start_timeout_s=100, stop_grace_s=10, unhealthy_s=60, backoff_s=1, longest_backoff_s=4, failures=5
)
TICK, HEALTHY, UNHEALTHY = Fact.TICK, Fact.HEALTHY, Fact.UNHEALTHY
STOP, RESTART, BEGIN = Fact.STOP, Fact.RESTART, Fact.START
CRASH, KILLED, NO_MEMORY = Exited(1), Exited(-9), Exited(1, out_of_memory=True)

History = list[tuple[float, Event]]


def live(history: History, state: State = State()) -> tuple[State, list[tuple[float, Action]]]:  # noqa: B008 -- frozen
    """Run a history; returns the last state and the actions with their times, without those of type Say."""
    done: list[tuple[float, Action]] = []
    for now_s, event in history:
        state, actions = step(state, event, now_s, POLICY)
        done += [(now_s, action) for action in actions if not isinstance(action, Say)]
    return state, done


START: History = [(0, TICK), (20, HEALTHY)]

HISTORIES: dict[str, tuple[History, Phase, list[tuple[float, Action]]]] = {
    "starts at once and is ready when healthy": (START, Phase.READY, [(0, Spawn(0))]),
    "unhealthy while starting is no news": ([(0, TICK), (1, UNHEALTHY), (90, TICK)], Phase.STARTING, [(0, Spawn(0))]),
    "dies before it was ready: given up, not looped": (
        [(0, TICK), (5, CRASH), (6, TICK)],
        Phase.FAILED,
        [(0, Spawn(0)), (5, GiveUp("ended with status 1 before it was ready"))],
    ),
    "never ready: ended, then given up": (
        [(0, TICK), (99, TICK), (100, TICK), (101, STOP), (102, Exited(-15)), (103, TICK)],
        Phase.FAILED,
        [(0, Spawn(0)), (100, Group.TERMINATE), (100, GiveUp("not ready after 100 s"))],
    ),
    "dies after it was ready: started again after the back-off": (
        [*START, (50, KILLED), (50.5, TICK), (51, TICK), (60, HEALTHY)],
        Phase.READY,
        [(0, Spawn(0)), (51, Spawn(0))],
    ),
    "dies again while starting again: still started again, later each time": (
        [*START, (50, KILLED), (51, TICK), (52, CRASH), (53, TICK), (54, TICK), (55, CRASH), (58, TICK), (59, TICK)],
        Phase.STARTING,
        [(0, Spawn(0)), (51, Spawn(0)), (54, Spawn(0)), (59, Spawn(0))],
    ),
    "dies again and again: given up in the end": (
        [*START, *[(100 * n + late, event) for n in range(1, 6) for late, event in ((0, CRASH), (50, TICK))]],
        Phase.FAILED,
        [
            *[(0, Spawn(0)), (150, Spawn(0)), (250, Spawn(0)), (350, Spawn(0)), (450, Spawn(0))],
            (500, GiveUp("ended with status 1, 5 times in a row")),
        ],
    ),
    "out of memory at start: smaller twice, then given up": (
        [(0, TICK), (5, NO_MEMORY), (5, TICK), (9, NO_MEMORY), (9, TICK), (12, NO_MEMORY), (13, TICK)],
        Phase.FAILED,
        [
            (0, Spawn(0)),
            (5, StepDown(1)),
            (5, Spawn(1)),
            (9, StepDown(2)),
            (9, Spawn(2)),
            (12, GiveUp("ran out of memory before it was ready")),
        ],
    ),
    "what fitted once is what is started again": (
        [(0, TICK), (5, NO_MEMORY), (5, TICK), (9, HEALTHY), (20, KILLED), (21, TICK)],
        Phase.STARTING,
        [(0, Spawn(0)), (5, StepDown(1)), (5, Spawn(1)), (21, Spawn(1))],
    ),
    "unhealthy for a moment: left alone": (
        [*START, (30, UNHEALTHY), (60, UNHEALTHY), (80, HEALTHY), (100, UNHEALTHY)],
        Phase.READY,
        [(0, Spawn(0))],
    ),
    "unhealthy for long: restarted": (
        [*START, (30, UNHEALTHY), (90, UNHEALTHY), (92, Exited(0)), (92, TICK)],
        Phase.STARTING,
        [(0, Spawn(0)), (90, Group.TERMINATE), (92, Spawn(0))],
    ),
    "stopped: terminated, and that is the end": (
        [*START, (30, STOP), (31, TICK), (32, Exited(0)), (40, TICK)],
        Phase.STOPPED,
        [(0, Spawn(0)), (30, Group.TERMINATE)],
    ),
    "deaf to the request: killed after the grace": (
        [*START, (30, STOP), (39, TICK), (40, TICK), (41, TICK), (41, KILLED)],
        Phase.STOPPED,
        [(0, Spawn(0)), (30, Group.TERMINATE), (40, Group.KILL)],
    ),
    "asked twice: killed at once": (
        [*START, (30, STOP), (31, STOP), (31, KILLED)],
        Phase.STOPPED,
        [(0, Spawn(0)), (30, Group.TERMINATE), (31, Group.KILL)],
    ),
    "stopped while it waits: never started": (
        [*START, (50, KILLED), (50, STOP), (60, TICK)],
        Phase.STOPPED,
        [(0, Spawn(0))],
    ),
    "stopped while it restarts: not started": (
        [*START, (30, RESTART), (31, STOP), (32, Exited(0)), (33, TICK)],
        Phase.STOPPED,
        [(0, Spawn(0)), (30, Group.TERMINATE)],
    ),
    "restarted on request": (
        [*START, (30, RESTART), (32, Exited(0)), (32, TICK), (33, HEALTHY)],
        Phase.READY,
        [(0, Spawn(0)), (30, Group.TERMINATE), (32, Spawn(0))],
    ),
    "asked to start after it was given up: started once more": (
        [(0, TICK), (5, CRASH), (6, TICK), (30, BEGIN), (31, TICK), (40, HEALTHY)],
        Phase.READY,
        [(0, Spawn(0)), (5, GiveUp("ended with status 1 before it was ready")), (31, Spawn(0))],
    ),
    "asked to start while it runs: nothing": ([*START, (30, BEGIN), (31, TICK)], Phase.READY, [(0, Spawn(0))]),
    "asked to start when all is over: nothing": (
        [(0, TICK), (5, CRASH), (6, STOP), (7, BEGIN), (8, TICK)],
        Phase.STOPPED,
        [(0, Spawn(0)), (5, GiveUp("ended with status 1 before it was ready"))],
    ),
    "a late answer of a process that is gone means nothing": (
        [*START, (50, KILLED), (50, HEALTHY)],
        Phase.WAITING,
        [(0, Spawn(0))],
    ),
}


@pytest.mark.parametrize(("history", "phase", "done"), HISTORIES.values(), ids=HISTORIES.keys())
def test_history(history: History, phase: Phase, done: list[tuple[float, Action]]) -> None:
    state, actions = live(history)
    assert (state.phase, actions) == (phase, done)


IDLE_HISTORIES: dict[str, tuple[History, Phase, list[tuple[float, Action]]]] = {
    "idle until asked": ([(0, TICK), (9, TICK), (9, RESTART)], Phase.IDLE, []),
    "asked twice: started once": (
        [(0, TICK), (5, BEGIN), (5, BEGIN), (6, TICK), (7, BEGIN), (9, HEALTHY)],
        Phase.READY,
        [(6, Spawn(0))],
    ),
    "never asked, stopped: never started": ([(0, TICK), (5, STOP), (6, BEGIN), (7, TICK)], Phase.STOPPED, []),
    "out of memory when asked: smaller": (
        [(5, BEGIN), (5, TICK), (8, NO_MEMORY), (9, TICK)],
        Phase.STARTING,
        [(5, Spawn(0)), (8, StepDown(1)), (9, Spawn(1))],
    ),
}


@pytest.mark.parametrize(("history", "phase", "done"), IDLE_HISTORIES.values(), ids=IDLE_HISTORIES.keys())
def test_history_of_a_program_that_is_started_on_demand(
    history: History, phase: Phase, done: list[tuple[float, Action]]
) -> None:
    state, actions = live(history, State(phase=Phase.IDLE))
    assert (state.phase, actions) == (phase, done)


def test_failures_are_forgiven_once_it_ran_for_a_while() -> None:
    history: History = [*START]
    for n in range(1, 20):
        history += [(1000.0 * n, KILLED), (1000.0 * n + 1, TICK), (1000.0 * n + 2, HEALTHY)]
    assert live(history)[0].failures == 1
