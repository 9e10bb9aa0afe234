"""What the tabs share: the client, the header's choices, the words of either language, and lists of results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components.base import Component

from ui.client import Client
from ui.faults import Fault
from ui.lists import failed, stopped
from ui.results import results_list
from ui.texts import Language, say
from ui.uploads import Uploads

# Runs at once, over all pages; as many as MAX_WAITING wait, and who comes then is told so.
RUNS_AT_ONCE = 8
MAX_WAITING = 20
RUN: dict[str, Any] = {"concurrency_limit": RUNS_AT_ONCE, "concurrency_id": "run"}
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)
# Of whatever asks no engine: it never waits behind those who do.
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(slots=True)
class Page:
    """Built once; every visitor's choices and lists are Gradio's, by session."""

    client: Client
    engine: gr.Dropdown
    language: gr.Radio
    status: gr.HTML
    uploads: Uploads = field(default_factory=Uploads)
    said: list[tuple[Component, dict[str, tuple[str, str]]]] = field(default_factory=list)
    lists: list[tuple[gr.HTML, gr.State]] = field(default_factory=list)
    waiting: dict[gr.HTML, gr.HTML] = field(default_factory=dict)

    def says(self, component: Any, **words: str | tuple[str, str]) -> Any:
        """The component, which shows these words, by property, in whichever language is chosen."""
        pairs = {prop: (say(key), say(key, "zh")) if isinstance(key, str) else key for prop, key in words.items()}
        self.said.append((component, pairs))
        return component

    def start_and_stop(self, word: str) -> tuple[gr.Button, gr.Button]:
        """The bar of a tab's run, at the bottom of a phone."""
        with gr.Row(elem_classes="go-bar"):
            start = self.says(gr.Button(say(word), variant="primary", elem_classes="go"), value=word)
            stop = self.says(
                gr.Button(say("stop"), scale=0, min_width=84, interactive=False, elem_classes="halt"), value="stop"
            )
        return start, stop

    def unfolds(self) -> None:
        """The bar above results that brings the inputs back on a phone."""
        self.says(gr.Button(say("inputs"), elem_classes="unfold"), value="inputs")

    def chip(self, label: tuple[str, str]) -> gr.Button:
        """The button of an example."""
        button: gr.Button = self.says(gr.Button(label[0], size="sm", min_width=0), value=label)
        return button

    def results(self, **kwargs: Any) -> tuple[gr.HTML, gr.State]:
        """A list whose button loads the model, and the state that holds what it shows."""
        # Where Gradio tells how many wait before a run.
        waiting = gr.HTML("", padding=False, elem_classes="waiting")
        results, shown = results_list({"language": "en"}, **kwargs), gr.State({})
        self.lists.append((results, shown))
        self.waiting[results] = waiting
        results.retry(None, None, None, js="() => studio.go()")
        results.load_model(self.load, [self.engine, shown, self.language], [results, shown, self.status], **QUICK)
        return results, shown

    async def load(self, engine: str | None, shown: dict[str, Any], language: Language) -> tuple[Any, ...]:
        """Load model: the pill tells how it goes, the list why it cannot."""
        value = {**shown, "language": language, "fault": None, "kept": False}
        try:
            await self.client.load(engine or "default")
        except Fault as fault:
            value = failed(fault, shown, language)
        return value, value, {"language": language, "engine": engine}

    async def choices(self, chosen: str | None) -> Any:
        """The gateway's engines to choose from; the chosen one stays, and at first it is the default."""
        try:
            engines = (await self.client.engines())["engines"]
        except Fault:
            return gr.update()
        names = [one["name"] for one in engines]
        default = next((one["name"] for one in engines if one["default"]), None)
        return gr.update(choices=names, value=chosen if chosen in names else default)

    def runs(
        self,
        run: Callable[..., Any],
        inputs: Sequence[Component],
        shown: tuple[gr.HTML, gr.State],
        buttons: Sequence[gr.Button],
        triggers: Sequence[Any],
        api_name: str,
    ) -> None:
        """Binds a run, which fills the list and its state, and sets the buttons: the one that starts, Stop, others."""
        results, current = shown
        start, stop, *_ = buttons
        started = gr.on(
            triggers,
            run,
            inputs,
            [*shown, *buttons],
            trigger_mode="once",
            show_progress="full",
            show_progress_on=self.waiting[results],
            api_name=api_name,
            **RUN,
        )

        def turned_away(value: dict[str, Any], language: Language) -> tuple[Any, ...]:
            if not language:
                return gr.skip(), gr.skip(), gr.skip(), gr.skip()
            value = failed(Fault("queue_full"), value, language)
            return value, value, ON, OFF

        # Whatever a run can meet it shows itself, but for a queue that does not let it in. A stopped one fails too.
        started.failure(
            turned_away,
            [current, self.language],
            [*shown, start, stop],
            js="(value, language) => [value, studio.stopping() ? '' : language]",
            **QUICK,
        )
        # To cancel ends the run's calls, and so what the engine does for them.
        stop.click(
            lambda value, language: (stopped(value, language), ON, OFF),
            [current, self.language],
            [results, start, stop],
            cancels=[started],
            **QUICK,
        )

    def speak(self) -> None:
        """Has the choice of a language change every word on the page, and nothing that was typed. Last of all."""
        results, states = zip(*self.lists, strict=True)

        def spoken(language: Language, engine: str | None, *shown: dict[str, Any]) -> list[Any]:
            place = language == "zh"
            updates = [
                gr.update(**dict[str, Any]((prop, pair[place]) for prop, pair in words.items()))
                for _, words in self.said
            ]
            values = [{**value, "language": language} for value in shown]
            return [*updates, *values, *values, {"language": language, "engine": engine}]

        components = [component for component, _ in self.said]
        outputs = [*components, *results, *states, self.status]
        self.language.change(spoken, [self.language, self.engine, *states], outputs, **QUICK)
