"""Gives the benchmark its rival: LiteLLM's proxy, in `.venv-bench/`, apart from our own dependencies.

`make bench` runs this: about a minute the first time, nothing after that. Where it cannot be had, it says so, and the
rows of LiteLLM are left out.
"""

import sys
from pathlib import Path

from tests.pinned import PinnedEnvironment

REPOSITORY = Path(__file__).resolve().parents[1]
RIVAL = PinnedEnvironment(REPOSITORY / ".venv-bench", REPOSITORY / "requirements/litellm.txt")

if __name__ == "__main__" and not RIVAL.provision():
    print(f"!!! SKIPPED: no comparison with LiteLLM: pip could not install {RIVAL.package}", file=sys.stderr)
