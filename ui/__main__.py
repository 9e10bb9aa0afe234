"""`rerank-ui --gateway URL` starts the studio in front of a running gateway."""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile

MAX_FILE_BYTES = 32 * 2**20
MAX_SESSIONS = 500


def main() -> None:
    parser = argparse.ArgumentParser(prog="rerank-ui", description="The studio: a page that ranks with a gateway.")
    parser.add_argument("--gateway", metavar="URL", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--api-key", metavar="KEY", help="a key of the gateway's; better in RERANK_API_KEY")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s; there is no login")
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument(
        "--name", action="append", default=[], help="a host name the page is called by; may be repeated"
    )
    parser.add_argument("--root-path", default="", metavar="PATH", help="where a reverse proxy puts the page")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    # Gradio ends on KeyboardInterrupt. SIGTERM raises it too.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, signal.default_int_handler)
    uploads = os.environ.get("GRADIO_TEMP_DIR") or tempfile.mkdtemp(prefix="rerank-ui-")
    # Gradio reads these when it is imported. Without the first it reports to its makers.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": uploads, "HF_HUB_OFFLINE": "1"}
    try:
        serve(arguments)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"rerank-ui: {error}")
    finally:
        shutil.rmtree(uploads, ignore_errors=True)


def serve(arguments: argparse.Namespace) -> None:
    """Serve until a signal comes. Raises OSError if the port is taken."""
    from starlette.middleware import Middleware

    from ui import app, examples
    from ui.client import Client
    from ui.guard import Guard, fetch_nothing
    from ui.page import MAX_WAITING, RUNS_AT_ONCE

    fetch_nothing()
    client = Client(arguments.gateway, arguments.api_key or os.environ.get("RERANK_API_KEY") or None)
    blocks = app.build(client)
    blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=RUNS_AT_ONCE, status_update_rate=1)
    # Mounted in an app of our own, Gradio would count as never launched and serve any file of this machine.
    blocks.launch(
        server_name=arguments.host,
        server_port=arguments.port,
        root_path=arguments.root_path or None,
        theme=app.THEME,
        head=app.head(),
        app_kwargs={"middleware": [Middleware(Guard, names=arguments.name)], "openapi_url": None, "docs_url": None},
        allowed_paths=[examples.FOLDER],
        max_file_size=MAX_FILE_BYTES,
        state_session_capacity=MAX_SESSIONS,
        footer_links=["settings"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        share=False,
        show_error=True,
        quiet=True,
    )


if __name__ == "__main__":
    main()
