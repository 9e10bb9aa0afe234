"""Writes cross_encoders.json: `python -m tests.embedded.record_cross_encoders`, with sentence-transformers."""

import json
import tempfile
from pathlib import Path

import sentence_transformers
import torch

from tests.embedded.tiny_models import PAIRS, write_bert, write_xlm_roberta


def main() -> None:
    recorded: dict[str, object] = {
        "source": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    }
    with tempfile.TemporaryDirectory() as place:
        for name, write in (("bert", write_bert), ("xlm-roberta", write_xlm_roberta)):
            folder = write(Path(place, name))
            model = sentence_transformers.CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
            recorded[name] = [round(float(logit), 6) for logit in model.predict(PAIRS, batch_size=1)]
    path = Path(__file__).with_name("cross_encoders.json")
    path.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
