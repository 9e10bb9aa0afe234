"""The official Qwen3-Reranker recipe in transformers, whose score every answer of the gateway must equal.

Written after the README of QwenLM/Qwen3-Embedding (`format_instruction`, `process_inputs`, `compute_logits`):
prefix, body and suffix are tokenised apart, the body is cut at its end so that all fits, and the score is the
softmax over the logits of "no" and "yes" behind the last token. Two things are ours. The body is encoded by a
tokenizer without control tokens: the official snippet turns a document's `<|im_end|>` or `<think>` into such a
token, so that a document could end its own prompt, and the gateway prevents that. The caller may also cut a
document shorter than the context.

Torch is installed in `.venv-vllm` only. There this module runs as a program that answers each JSON line with
another. `Reference` is the tests' end of that pipe.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tests.vllm.line_process import LineProcess

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One pair of a caller's request. Lengths are in tokens. None means no limit."""

    query: str
    document: str
    instruction: str = INSTRUCTION
    max_tokens: int | None = None
    """Limit of the whole prompt."""
    max_tokens_per_doc: int | None = None
    """Limit of the text behind the label "<Document>:", with the space, which joins the first word."""


@dataclass(frozen=True, slots=True)
class Answer:
    score: float
    ids: list[int]
    """The whole prompt, cut."""
    uncut: int
    """Token count of the prompt before it was cut."""


class Reference(LineProcess):
    """A process that scores with the model in `folder`, in float32 for any dtype of the checkpoint."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tests.vllm.reference", folder)
        self._known: dict[Case, Answer] = {}

    def __call__(self, cases: Sequence[Case]) -> list[Answer]:
        for case in cases:
            if case not in self._known:
                self._known[case] = Answer(**self.ask(asdict(case)))
        return [self._known[case] for case in cases]


def serve(folder: Path, lines: IO[str], answers: IO[str]) -> None:
    """Score every `Case` that arrives as a line. Runs in `.venv-vllm`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # beside a busy vLLM two threads wait for each other: 30 s instead of 4 over the corpus
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = Prompts(tokenizer, without_control_tokens(folder))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    no, yes = (tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes"))
    for line in lines:
        ids, uncut = prompts.ids(Case(**json.loads(line)))
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
        score = torch.softmax(logits[[no, yes]], dim=0)[1].item()
        answers.write(json.dumps(asdict(Answer(score, ids, uncut))) + "\n")
        answers.flush()


class Prompts:
    """Prompts in token ids. `tokenizer` encodes the template like the official snippet, `plain` the caller's texts."""

    def __init__(self, tokenizer: Any, plain: Any) -> None:
        self._plain = plain
        self._prefix: list[int] = tokenizer.encode(PREFIX, add_special_tokens=False)
        self._suffix: list[int] = tokenizer.encode(SUFFIX, add_special_tokens=False)

    def ids(self, case: Case) -> tuple[list[int], int]:
        """Token ids of the prompt, and their count before the document was cut."""
        head = f"<Instruct>: {case.instruction}\n<Query>: {case.query}\n<Document>:"
        body = self._read(f"{head} {case.document}")
        template = len(self._prefix) + len(self._suffix)
        uncut = template + len(body)
        if case.max_tokens_per_doc is not None:
            # The label ends in a token of its own (a space follows), so the rest are the document's tokens.
            body = body[: len(self._read(head)) + case.max_tokens_per_doc]
        if case.max_tokens is not None:
            body = body[: case.max_tokens - template]
        return self._prefix + body + self._suffix, uncut

    def _read(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids


def without_control_tokens(folder: Path) -> Any:
    """The model's `tokenizers.Tokenizer`, changed to encode `<|im_end|>` as ten ordinary characters."""
    from tokenizers import Tokenizer

    spec = json.loads((folder / "tokenizer.json").read_text())
    return Tokenizer.from_str(json.dumps(spec | {"added_tokens": []}))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.stdin, sys.stdout)
