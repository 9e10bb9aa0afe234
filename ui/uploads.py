"""Removal of uploads when the last page that used them closes. Gradio removes the rest after an hour."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path


class Uploads:
    """Files by session. Gradio names a file by its content, so that several sessions may share one."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = defaultdict(set)
        self._users: Counter[str] = Counter()

    def used(self, session: str, paths: Iterable[str]) -> None:
        new = set(paths) - self._of[session]
        self._of[session] |= new
        self._users.update(new)

    def closed(self, session: str) -> None:
        for path in self._of.pop(session, ()):
            self._users[path] -= 1
            if not self._users[path]:
                del self._users[path]
                Path(path).unlink(missing_ok=True)
