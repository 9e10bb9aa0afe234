"""Gives the tests the older generation of Cohere's SDK, in `.venv-sdk5/`, beside the newest one in `.venv/`.

`make test` runs this: about ten seconds the first time, nothing after that.
"""

from pathlib import Path

from tests.pinned import PinnedEnvironment

REPOSITORY = Path(__file__).resolve().parents[2]
SDK5 = PinnedEnvironment(REPOSITORY / ".venv-sdk5", REPOSITORY / "requirements/sdk5.txt")

if __name__ == "__main__" and not SDK5.provision():
    raise SystemExit(f"could not install {SDK5.package}")
