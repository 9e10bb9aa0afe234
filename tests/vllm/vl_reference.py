"""The official Qwen3-VL-Reranker recipe in transformers, whose score every answer with pictures must equal.

Written after QwenLM/Qwen3-VL-Embedding (`src/models/qwen3_vl_reranker.py`): the prompt, qwen-vl-utils' scaling by PIL
of pictures and frames within the official limits, a processor that scales nothing, sigmoid of the last hidden state
times the difference of the rows of "yes" and "no" in the output layer. Videos come as frames, already chosen by time.

Torch is installed in `.venv-vllm` only. There this module runs as a program that answers each JSON line with another.
`VlReference` is the tests' end of that pipe.
"""

import base64
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tests.vllm.line_process import LineProcess

INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
MIN_PIXELS, MAX_PIXELS, MAX_FRAME_PIXELS = 4 * 32 * 32, 1800 * 32 * 32, 768 * 32 * 32


@dataclass(frozen=True, slots=True)
class Frames:
    """A video: its frames as base64 of PNG, and their rate per second."""

    images: tuple[str, ...]
    fps: float


@dataclass(frozen=True, slots=True)
class Side:
    """A query or a document: pictures as base64 of a file that PIL opens upright."""

    text: str = ""
    images: tuple[str, ...] = ()
    videos: tuple[Frames, ...] = ()


class VlReference(LineProcess):
    """A process that scores with the model in `folder`, in float32."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tests.vllm.vl_reference", folder)

    def __call__(self, query: Side, document: Side, instruction: str = INSTRUCTION) -> tuple[float, int]:
        """Score, and length of the prompt in tokens."""
        score, tokens = self.ask([asdict(query), asdict(document), instruction])
        return float(score), int(tokens)


def serve(folder: Path, lines: IO[str], answers: IO[str]) -> None:
    """Score every pair that arrives as a line. Runs in `.venv-vllm`."""
    import torch
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = (processor.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    weights = model.lm_head.weight.data.float()
    for line in lines:
        query, document, instruction = json.loads(line)
        inputs = prompt(processor, query, document, instruction)
        with torch.inference_mode():
            hidden = model.model(**inputs).last_hidden_state[0, -1].float()
        score = torch.sigmoid(hidden @ (weights[yes] - weights[no])).item()
        answers.write(json.dumps([score, inputs["input_ids"].shape[1]]) + "\n")
        answers.flush()


def prompt(processor: Any, query: dict[str, Any], document: dict[str, Any], instruction: str) -> Any:
    import numpy as np

    text = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}<Query>:{written(query)}\n"
        f"<Document>:{written(document)}<|im_end|>\n<|im_start|>assistant\n"
    )
    images = [scaled(one, MAX_PIXELS) for side in (query, document) for one in side["images"]]
    clips = [clip for side in (query, document) for clip in side["videos"]]
    media: dict[str, Any] = {}
    if images:
        media |= {"images": images, "images_kwargs": {"do_resize": False}}
    if clips:
        media["videos"] = [
            np.stack([np.asarray(scaled(f, MAX_FRAME_PIXELS)) for f in clip["images"]]) for clip in clips
        ]
        media["videos_kwargs"] = {
            "do_resize": False,
            "do_sample_frames": False,
            "video_metadata": [
                {
                    "fps": clip["fps"],
                    "total_num_frames": len(clip["images"]),
                    "frames_indices": list(range(len(clip["images"]))),
                }
                for clip in clips
            ],
        }
    return processor(text=[text], return_tensors="pt", **media)


def written(side: dict[str, Any]) -> str:
    """Videos, pictures and text in the order of `format_mm_content`. An empty side is NULL."""
    marks = ["<|vision_start|><|video_pad|><|vision_end|>"] * len(side["videos"])
    marks += ["<|vision_start|><|image_pad|><|vision_end|>"] * len(side["images"])
    return "".join(marks) + side["text"] or "NULL"


def scaled(encoded: str, max_pixels: int) -> Any:
    """Image scaled by the rule of qwen-vl-utils' fetch_image."""
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    image: Image.Image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.split()[3])
        image = white
    image = image.convert("RGB")
    height, width = image.height, image.width
    # qwen-vl-utils' smart_resize takes a side under 32 as 32. That of transformers refuses it.
    high, wide = smart_resize(max(height, 32), max(width, 32), 32, MIN_PIXELS, max_pixels)
    if min(height, width) < 32:
        high, wide = small(height, width)
    return image.resize((wide, high))


def small(height: int, width: int) -> tuple[int, int]:
    """Size by qwen-vl-utils' smart_resize, for sides under 32 pixels."""
    import math

    high, wide = max(32, round(height / 32) * 32), max(32, round(width / 32) * 32)
    if high * wide < MIN_PIXELS:
        grow = math.sqrt(MIN_PIXELS / (height * width))
        high, wide = math.ceil(height * grow / 32) * 32, math.ceil(width * grow / 32) * 32
    return high, wide


def encoded(files: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(base64.b64encode(file).decode() for file in files)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.stdin, sys.stdout)
