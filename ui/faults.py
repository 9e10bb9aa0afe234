"""A run that cannot go on: which entry of texts.FAULTS explains it, and the detail that only this case has."""

from typing import Any


class Fault(Exception):
    """`key` is of texts.FAULTS, `detail` is shown below it as it is, `load` offers to load the model."""

    def __init__(self, key: str, detail: str = "", *, load: bool = False) -> None:
        super().__init__(key)
        self.key, self.detail, self.load = key, detail, load

    def shown(self) -> dict[str, Any]:
        """As the results list reads it."""
        return {"key": self.key, "detail": self.detail, "load": self.load}
