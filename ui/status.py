"""The header's pills: how the chosen engine does, and what memory is used. The page polls while it is looked at."""

from importlib.resources import files
from typing import Any

import gradio as gr

from ui import texts
from ui.client import Client
from ui.faults import Fault


def pills(client: Client) -> gr.HTML:
    """The value is {"language", "engine"}; the event `engines` says that the gateway has other engines than before.

    No class of our own: for those Gradio writes a .pyi file beside the source.
    """

    async def status(engine: Any) -> dict[str, Any]:
        """The chosen engine's entry, or the default's, with memory and the names of all."""
        try:
            report = await client.engines()
        except Fault as fault:
            return {"state": "unreachable" if fault.key in {"unreachable", "timeout"} else "failed", "names": None}
        engines = report["engines"]
        chosen = next((one for one in engines if one["name"] == engine), None)
        one = chosen or next((one for one in engines if one["default"]), {"state": "offline"})
        names = [other["name"] for other in engines]
        return {**one, "gpus": report["gpus"], "memory": report["memory"], "names": names}

    return gr.HTML(
        value={"language": "en", "engine": None},
        html_template='<div class="status" role="group"></div>',
        js_on_load=files("ui").joinpath("status.js").read_text(encoding="utf-8"),
        server_functions=[status],
        apply_default_css=False,
        words=texts.for_scripts(),
    )
