"""Give the tests the older generation of Cohere's SDK, in `.venv-sdk5/`, beside the newest one in `.venv/`.

`make test` runs this: about ten seconds the first time, nothing after that.
"""

from pathlib import Path

from tests.pinned import PinnedEnvironment

HERE = Path(__file__).resolve().parent
SDK5 = PinnedEnvironment(HERE.parents[1] / ".venv-sdk5", "cohere==5.13.12", HERE / "constraints.txt")

if __name__ == "__main__" and not SDK5.provision():
    raise SystemExit(f"could not install {SDK5.package}")
