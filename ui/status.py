"""Pills of the header: state of the chosen engine, and used memory. The page polls while it is visible."""

from importlib.resources import files
from typing import Any

import gradio as gr

from ui import texts
from ui.client import Client
from ui.faults import Fault


def pills(client: Client) -> gr.HTML:
    """Pills with the value {"language", "engine"}. Their event `engines` tells that the gateway's engines changed.

    They are no subclass of gr.HTML, because Gradio writes a .pyi file beside the source of each subclass.
    """

    async def status(engine: Any) -> dict[str, Any]:
        """Entry of the chosen engine, or else of the default, with memory and the names of all engines."""
        try:
            report = await client.engines()
        except Fault as fault:
            return {"state": "unreachable" if fault.key in {"unreachable", "timeout"} else "failed", "names": None}
        engines = report["engines"]
        chosen = next((entry for entry in engines if entry["name"] == engine), None)
        shown = chosen or next((entry for entry in engines if entry["default"]), {"state": "offline"})
        names = [entry["name"] for entry in engines]
        return {**shown, "gpus": report["gpus"], "memory": report["memory"], "names": names}

    return gr.HTML(
        value={"language": "en", "engine": None},
        html_template='<div class="status" role="group"></div>',
        js_on_load=files("ui").joinpath("status.js").read_text(encoding="utf-8"),
        server_functions=[status],
        apply_default_css=False,
        words=texts.for_scripts(),
    )
