"""Give the benchmark its rival: LiteLLM's proxy, in `.venv-bench/`, apart from our own dependencies.

`make bench` runs this as a script: about a minute the first time, nothing after that. Where it cannot be had,
it says so and exits 0, and the rows of LiteLLM are left out.
"""

import hashlib
import platform
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / ".venv-bench"
PYTHON = ENVIRONMENT / "bin" / "python"
LITELLM = ENVIRONMENT / "bin" / "litellm"
STAMP = ENVIRONMENT / "provisioned"
CONSTRAINTS = HERE / "constraints.txt"
RIVAL = "litellm[proxy]==1.106.2"


def main() -> None:
    if is_provisioned():
        return
    print(f"Installing {RIVAL} in {ENVIRONMENT}", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip: list[str | Path] = [PYTHON, "-m", "pip", "-qq", "--disable-pip-version-check"]
    outcome = subprocess.run([*pip, "install", "--constraint", CONSTRAINTS, RIVAL])
    if outcome.returncode != 0:
        print(f"!!! SKIPPED: no comparison with LiteLLM: pip ended with {outcome.returncode}", file=sys.stderr)
        return
    STAMP.write_text(recipe_digest())  # last: an installation that was cut short starts again


def is_provisioned() -> bool:
    return STAMP.exists() and STAMP.read_text() == recipe_digest()


def recipe_digest() -> str:
    """Changes with anything that decides what is installed: the pins, the interpreter, the place."""
    recipe = f"{RIVAL} {platform.python_version()} {ENVIRONMENT} {CONSTRAINTS.read_text()}"
    return hashlib.sha256(recipe.encode()).hexdigest()


if __name__ == "__main__":
    main()
