"""Environments beside `.venv/`, for packages whose dependencies clash with ours: made once, and locked."""

import hashlib
import platform
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PinnedEnvironment:
    """A package with all it needs in a folder of its own, as a requirements file with hashes locks it."""

    folder: Path
    requirements: Path

    @property
    def package(self) -> str:
        """The requirement that was locked, such as "cohere==5.13.12"."""
        return self.requirements.with_suffix(".in").read_text().strip()

    def executable(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def is_provisioned(self) -> bool:
        return self._stamp.exists() and self._stamp.read_text() == self._digest()

    def provision(self) -> bool:
        """Makes it unless it is there already; False when pip could not."""
        if self.is_provisioned:
            return True
        if self.folder.is_symlink():  # another checkout's, which venv would empty before it refuses the link
            print(f"{self.folder} is a link to an installation made otherwise: left as it is", file=sys.stderr)
            return False
        print(f"Installing {self.package} in {self.folder}", flush=True)
        venv.create(self.folder, clear=True, with_pip=True)
        pip: list[str | Path] = [self.executable("python"), "-m", "pip", "-qq", "--disable-pip-version-check"]
        only_what_is_locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        outcome = subprocess.run([*pip, "install", *only_what_is_locked, "--requirement", self.requirements])
        if outcome.returncode != 0:
            return False
        self._stamp.write_text(self._digest())  # last: an installation that was cut short starts again
        return True

    @property
    def _stamp(self) -> Path:
        return self.folder / "provisioned"

    def _digest(self) -> str:
        """Changes with anything that decides what is installed: the lock, the interpreter, the place."""
        recipe = f"{platform.python_version()} {self.folder.resolve()} {self.requirements.read_text()}"
        return hashlib.sha256(recipe.encode()).hexdigest()
