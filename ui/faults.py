"""Failure of a run or of one file: the entry of texts.FAULTS that explains it, and the detail of this case."""

from typing import Any


class Fault(Exception):
    """`key` is a key of texts.FAULTS. `detail` is shown below that text unchanged. `load` offers to load the model."""

    def __init__(self, key: str, detail: str = "", *, load: bool = False) -> None:
        super().__init__(key)
        self.key, self.detail, self.load = key, detail, load

    def shown(self) -> dict[str, Any]:
        """Form that the list of results takes."""
        return {"key": self.key, "detail": self.detail, "load": self.load}
