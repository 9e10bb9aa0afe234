"""Scores by Sentence Transformers itself, for the recipes of which its CrossEncoder is the author's code.

Runs in `.venv-vllm` with the packages that `provision.py` keeps apart for it. Reads JSON from its stdin, a list of
[folder, pairs, limit of the prompt in tokens, instruction or null], and writes a list of lists of scores in 0..1.
"""

import json
import sys
from pathlib import Path
from typing import IO, Any

from tests.vllm.provision import AUTHORS


def score(folder: str, pairs: list[list[str]], limit: int, instruction: str | None) -> list[float]:
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(1)
    model: Any = CrossEncoder(folder, device="cpu", max_length=limit, model_kwargs={"dtype": "float32"})
    asked = {} if instruction is None else {"prompt": instruction}
    # Some publish the raw logit. The gateway's scores are always in 0..1.
    logits = model.predict(pairs, batch_size=1, activation_fn=torch.nn.Identity(), convert_to_tensor=True, **asked)
    scores: list[float] = torch.sigmoid(logits.double()).tolist()
    return scores


def serve(questions: IO[str], answers: IO[str]) -> None:
    json.dump([score(*question) for question in json.load(questions)], answers)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(AUTHORS)))
    serve(sys.stdin, sys.stdout)
