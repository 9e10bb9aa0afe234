"""Give the tests the older generation of Cohere's SDK, in `.venv-sdk5/`, beside the newest one in `.venv/`.

`make test` runs this as a script: about ten seconds the first time, nothing after that.
"""

import hashlib
import platform
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parents[1] / ".venv-sdk5"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "provisioned"
CONSTRAINTS = HERE / "constraints.txt"
SDK = "cohere==5.13.12"


def main() -> None:
    if is_provisioned():
        return
    print(f"Installing {SDK} in {ENVIRONMENT}", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "-qq", "--disable-pip-version-check"]
    outcome = subprocess.run([*pip, "install", "--constraint", CONSTRAINTS, SDK])
    if outcome.returncode != 0:
        raise SystemExit(f"could not install {SDK} (status {outcome.returncode})")
    STAMP.write_text(recipe_digest())  # last: an installation that was cut short starts again


def is_provisioned() -> bool:
    return STAMP.exists() and STAMP.read_text() == recipe_digest()


def recipe_digest() -> str:
    """Changes with anything that decides what is installed: the pins, the interpreter, the place."""
    recipe = f"{SDK} {platform.python_version()} {ENVIRONMENT} {CONSTRAINTS.read_text()}"
    return hashlib.sha256(recipe.encode()).hexdigest()


if __name__ == "__main__":
    main()
