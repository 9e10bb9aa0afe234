"""The tests' end of the authors' recipes: a process of `.venv-vllm` in which all of them are answered."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tests.vllm.families.recipes import RECIPES, Answer, Case, JinaV3
from tests.vllm.line_process import LineProcess


class Authors(LineProcess):
    """A process that scores by the recipe of a family with the model in a folder, in float32."""

    def __init__(self) -> None:
        super().__init__("tests.vllm.families.reference")
        self._known: dict[tuple[str, Path, Case], Answer] = {}

    def pairs(self, family: str, folder: Path, cases: Sequence[Case]) -> list[Answer]:
        """Scores of pairs, in order. A case is computed once."""
        new = list(dict.fromkeys(case for case in cases if (family, folder, case) not in self._known))
        answers = self.ask({"family": family, "folder": str(folder), "cases": new}) if new else []
        for case, answer in zip(new, answers, strict=True):
            self._known[family, folder, case] = Answer(*answer)
        return [self._known[family, folder, case] for case in cases]

    def list_of(
        self, folder: Path, query: str, documents: Sequence[str], instruction: str | None = None
    ) -> list[float]:
        """Scores of a list by jina-reranker-v3's recipe."""
        asked = {"query": query, "documents": list(documents), "instruction": instruction}
        scores: list[float] = self.ask({"folder": str(folder), **asked})
        return scores


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Answer every question that arrives as a line. Runs in `.venv-vllm`."""
    import torch

    torch.set_num_threads(1)  # beside a busy vLLM two threads wait for each other
    loaded: dict[str, Any] = {}
    for line in lines:
        question = json.loads(line)
        folder = Path(question["folder"])
        family = question.get("family")
        key = f"{family} {folder}"
        if key not in loaded:
            loaded[key] = RECIPES[family](folder) if family else JinaV3(folder)
        if family:
            found = [loaded[key].answer(Case(*case)) for case in question["cases"]]
        else:
            found = loaded[key].scores(question["query"], question["documents"], question["instruction"])
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
