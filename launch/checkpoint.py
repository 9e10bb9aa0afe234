"""The small files of a checkpoint tell its class, its sizes and its recipe. They lie in a folder or on the hub."""

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from launch.errors import LaunchError

# Sentence Transformers' module that reads a score off the logits of one or two tokens.
LOGIT_SCORE = "LogitScore"
_SMALL_FILES = (
    *("config.json", "modules.json", "*/config.json", "tokenizer.json", "tokenizer_config.json"),
    *("*.jinja", "config_sentence_transformers.json", "sentence_bert_config.json"),
)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


# Models whose positions start after the padding token's number, so that fewer tokens fit than there are positions.
_SHIFTED = {"roberta", "xlm-roberta"}


class NoFilesError(LaunchError):
    """The hub has no such repository, or it cannot be asked for the files."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The files of a checkpoint that were read.

    config: config.json. modules: the last parts of the classes in modules.json, which Sentence Transformers writes.
    logit_score: the settings of its module LogitScore. revision: the commit, if the files came from the hub.
    """

    folder: Path
    config: Mapping[str, Any]
    modules: tuple[str, ...] = ()
    logit_score: Mapping[str, Any] | None = None
    weights_bytes: int = 0
    revision: str | None = None

    @property
    def architecture(self) -> str | None:
        """The class in config.json."""
        return next(iter(self.config.get("architectures") or ()), None)

    @property
    def labels(self) -> int:
        """Scores that a sequence classifier gives for a text. transformers writes the number if it is not two."""
        return int(self.config.get("num_labels") or len(self.config.get("id2label") or ()) or 2)

    @property
    def has_template(self) -> bool:
        """True for a chat template of its own file, or in the tokenizer's settings as was the custom before."""
        settings = self.folder / "tokenizer_config.json"
        return self.has("chat_template.jinja") or (settings.exists() and bool(_json(settings).get("chat_template")))

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def sizes(self) -> dict[str, Any]:
        """The fields of a model that config.json and the weights tell."""
        text = self.config.get("text_config", self.config)
        heads = int(text.get("num_attention_heads", 1))
        sizes = {
            "weights_gb": self.weights_bytes / 1e9,
            "layers": text.get("num_hidden_layers", 0),
            "kv_heads": text.get("num_key_value_heads", heads),
            "head_dim": text.get("head_dim") or text.get("hidden_size", 0) // heads,
        }
        if "max_position_embeddings" in text:
            shift = int(text.get("pad_token_id", 1)) + 1 if text.get("model_type") in _SHIFTED else 0
            sizes["context"] = int(text["max_position_embeddings"]) - shift
        if "text_config" in self.config:
            sizes["tie_word_embeddings"] = bool(self.config.get("tie_word_embeddings", text.get("tie_word_embeddings")))
        return sizes

    def token(self, number: int) -> str:
        """The token of this id, as the vocabulary of tokenizer.json spells it. Raises LaunchError."""
        from tokenizers import Tokenizer  # 0.1 s of import, needed only for recipes that name tokens by their ids

        token: str | None = Tokenizer.from_file(str(self.folder / "tokenizer.json")).id_to_token(number)
        if token is None:
            raise LaunchError(f"{self.folder}: tokenizer.json has no token of the id {number} that {LOGIT_SCORE} names")
        return token


def read_folder(folder: Path, weights_bytes: int = 0, revision: str | None = None) -> Checkpoint:
    """The checkpoint in a folder. Raises LaunchError.

    The weights are measured if `weights_bytes` is 0.
    """
    modules = _json(folder / "modules.json") if (folder / "modules.json").exists() else []
    classes = tuple(str(module.get("type", "")).rpartition(".")[2] for module in modules)
    path = next(
        (module.get("path", "") for module, kind in zip(modules, classes, strict=True) if kind == LOGIT_SCORE), None
    )
    return Checkpoint(
        folder,
        _json(folder / "config.json"),
        classes,
        None if path is None else _json(folder / path / "config.json"),
        weights_bytes or _weights({file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}),
        revision,
    )


def fetch(hub: str, revision: str | None) -> Checkpoint:
    """The checkpoint of a repository on the Hugging Face hub, without its weights.

    Raises NoFilesError if it cannot be had, and LaunchError if it is none.
    Files that are in the cache already are used where the hub cannot be reached.
    """
    import httpx
    from huggingface_hub import HfApi, snapshot_download  # 0.3 s of import, needed only for a hub id
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(hub, revision=revision, allow_patterns=list(_SMALL_FILES)))
        weights = _weights({file.name: file.stat().st_size for file in folder.iterdir()})
        if not weights:
            files = HfApi().model_info(hub, revision=folder.name, files_metadata=True).siblings or ()
            weights = _weights({file.rfilename: file.size or 0 for file in files})
    except HFValidationError as error:
        raise NoFilesError("it is no id of the Hugging Face hub") from error
    except GatedRepoError as error:
        raise NoFilesError("its files are gated: accept the terms on its page and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise NoFilesError("the Hugging Face hub has no model of that name") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = type(error.__cause__ or error).__name__
        raise NoFilesError(f"its files are not here, and the Hugging Face hub does not answer ({reason})") from error
    return read_folder(folder, weights, folder.name)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaunchError(f"{path.parent} holds no readable {path.name}: {error}") from error


def _weights(sizes: Mapping[str, int]) -> int:
    """Bytes of the weights among files of these names: those of safetensors, else those of PyTorch."""
    totals = (sum(size for name, size in sizes.items() if fnmatch(name, kind) and "/" not in name) for kind in _WEIGHTS)
    return next((total for total in totals if total), 0)
