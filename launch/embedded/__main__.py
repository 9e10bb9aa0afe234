"""`python -m launch.embedded`: a small model behind vLLM's wire, ready in two seconds on any processor."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from launch.embedded import bilingual, cross_encoder, server
from launch.embedded.loading import load_bilingual, load_cross_encoder
from launch.embedded.scorer import Scorer
from launch.embedded.weights import WeightsError


def main() -> None:
    arguments = _arguments(os.environ)
    try:
        scorer = _scorer(arguments)
    except WeightsError as error:
        sys.exit(str(error))
    uvicorn.run(
        server.app(scorer),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,  # longer than clients keep a connection, so that none is closed just as it is used
        timeout_graceful_shutdown=10,
    )


def _scorer(arguments: argparse.Namespace) -> Scorer:
    """The model that the command line names. Raises WeightsError."""
    if arguments.model in (None, *bilingual.NAMES):
        return load_bilingual(arguments.hub_cache, arguments.cache)
    checkpoint = cross_encoder.find(arguments.model, arguments.revision, arguments.hub_cache)
    return load_cross_encoder(checkpoint, arguments.served_model_name or [arguments.model], arguments.cache)


def _arguments(environment: Mapping[str, str]) -> argparse.Namespace:
    user_cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub_home = Path(environment.get("HF_HOME") or user_cache / "huggingface")
    parser = argparse.ArgumentParser(prog="python -m launch.embedded", description=__doc__)
    parser.add_argument("--model", help="a cross-encoder: a folder, or its name on the hub (default: the two built in)")
    parser.add_argument("--revision", help="commit, tag or branch on the hub (default: the newest commit)")
    parser.add_argument("--served-model-name", nargs="+", help="names that requests may use (default: --model)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument(
        "--cache", type=Path, default=user_cache / "rerank-gateway", help="where the built graphs are kept"
    )
    parser.add_argument(
        "--hub-cache",
        type=Path,
        default=Path(environment.get("HF_HUB_CACHE") or hub_home / "hub"),
        help="searched for weights whose package is not installed",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
