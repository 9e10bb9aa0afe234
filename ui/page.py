"""Parts that the tabs share: the client, the header's choices, the words of either language, lists of results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import gradio as gr
from gradio.components.base import Component

from ui.client import Client
from ui.faults import Fault
from ui.lists import failed, stopped
from ui.results import results_list
from ui.texts import Language, say
from ui.uploads import Uploads

# Runs at once, over all pages. MAX_WAITING more wait; a further one is told that the queue is full.
RUNS_AT_ONCE = 8
MAX_WAITING = 20
RUN: dict[str, Any] = {"concurrency_limit": RUNS_AT_ONCE, "concurrency_id": "run"}
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)
# For events that ask no engine: they never wait behind those that do.
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class Outputs(NamedTuple):
    """Components that a run sets: its list and that list's state, the buttons that start and stop it, and others."""

    results: gr.HTML
    current: gr.State
    start: gr.Button
    stop: gr.Button
    others: tuple[Component, ...] = ()


@dataclass(slots=True)
class Page:
    """The one page of all visitors, built once. Gradio keeps each visitor's choices and lists, by session."""

    client: Client
    engine: gr.Dropdown
    language: gr.Radio
    status: gr.HTML
    uploads: Uploads = field(default_factory=Uploads)
    said: list[tuple[Component, dict[str, tuple[str, str]]]] = field(default_factory=list)
    lists: list[tuple[gr.HTML, gr.State]] = field(default_factory=list)
    waiting: dict[gr.HTML, gr.HTML] = field(default_factory=dict)

    def says(self, component: Any, **words: str | tuple[str, str]) -> Any:
        """Have a component show these words, by property, in the chosen language. Returns the component."""
        pairs = {prop: (say(key), say(key, "zh")) if isinstance(key, str) else key for prop, key in words.items()}
        self.said.append((component, pairs))
        return component

    def start_and_stop(self, word: str) -> tuple[gr.Button, gr.Button]:
        """Buttons of a tab's run, in a bar that a phone shows at its bottom."""
        with gr.Row(elem_classes="go-bar"):
            start = self.says(gr.Button(say(word), variant="primary", elem_classes="go"), value=word)
            stop = self.says(
                gr.Button(say("stop"), scale=0, min_width=84, interactive=False, elem_classes="halt"), value="stop"
            )
        return start, stop

    def unfolds(self) -> None:
        """Put a bar above the results that brings the inputs back on a phone."""
        self.says(gr.Button(say("inputs"), elem_classes="unfold"), value="inputs")

    def chip(self, label: tuple[str, str]) -> gr.Button:
        """Button of an example."""
        button: gr.Button = self.says(gr.Button(label[0], size="sm", min_width=0), value=label)
        return button

    def results(self, **kwargs: Any) -> tuple[gr.HTML, gr.State]:
        """A list of results whose button loads the model, and the state that holds the list's value."""
        # Gradio shows here how many runs wait before this one.
        waiting = gr.HTML("", padding=False, elem_classes="waiting")
        results, shown = results_list({"language": "en"}, **kwargs), gr.State({})
        self.lists.append((results, shown))
        self.waiting[results] = waiting
        results.retry(None, None, None, js="() => studio.go()")
        results.load_model(self.load, [self.engine, shown, self.language], [results, shown, self.status], **QUICK)
        return results, shown

    async def load(self, engine: str | None, shown: dict[str, Any], language: Language) -> tuple[Any, ...]:
        """Have the gateway load a model. The pill shows the progress, the list the reason of a failure."""
        value = {**shown, "language": language, "fault": None, "kept": False}
        try:
            await self.client.load(engine or "default")
        except Fault as fault:
            value = failed(fault, shown, language)
        return value, value, {"language": language, "engine": engine}

    async def choices(self, chosen: str | None) -> Any:
        """Choices of the engine's dropdown. The chosen engine stays chosen; at first it is the gateway's default."""
        try:
            engines = (await self.client.engines())["engines"]
        except Fault:
            return gr.update()
        names = [entry["name"] for entry in engines]
        default = next((entry["name"] for entry in engines if entry["default"]), None)
        return gr.update(choices=names, value=chosen if chosen in names else default)

    def runs(
        self,
        run: Callable[..., Any],
        inputs: Mapping[str, Component],
        outputs: Outputs,
        triggers: Sequence[Any],
        api_name: str,
    ) -> None:
        """Bind a run to its triggers. It takes the inputs by name, and gives the values of `outputs` in their order."""
        results, current, start, stop, others = outputs
        started = gr.on(
            triggers,
            run,
            outputs=[results, current, start, stop, *others],
            inputs_kwargs=dict(inputs),
            trigger_mode="once",
            show_progress="full",
            show_progress_on=self.waiting[results],
            api_name=api_name,
            **RUN,
        )
        # A run shows its own faults, except for a queue that turned it away. To Gradio a stopped run has failed too.
        started.failure(
            _turned_away,
            [current, self.language],
            [results, current, start, stop],
            js="(value, language) => [value, studio.stopping() ? '' : language]",
            **QUICK,
        )
        # Cancelling a run ends its calls, and with them the engine's work.
        stop.click(
            lambda value, language: (stopped(value, language), ON, OFF),
            [current, self.language],
            [results, start, stop],
            cancels=[started],
            **QUICK,
        )

    def speak(self) -> None:
        """Have the choice of a language change every word on the page and no typed one. Called last of all."""
        results, states = zip(*self.lists, strict=True)

        def spoken(language: Language, engine: str | None, *shown: dict[str, Any]) -> list[Any]:
            in_language = language == "zh"
            updates = [
                gr.update(**dict[str, Any]((prop, pair[in_language]) for prop, pair in words.items()))
                for _, words in self.said
            ]
            values = [{**value, "language": language} for value in shown]
            return [*updates, *values, *values, {"language": language, "engine": engine}]

        components = [component for component, _ in self.said]
        outputs = [*components, *results, *states, self.status]
        self.language.change(spoken, [self.language, self.engine, *states], outputs, **QUICK)


def _turned_away(value: dict[str, Any], language: Language | Literal[""]) -> tuple[Any, ...]:
    """List and buttons of a run that the queue did not take. No language means that the visitor stopped it."""
    if not language:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip()
    value = failed(Fault("queue_full"), value, language)
    return value, value, ON, OFF
