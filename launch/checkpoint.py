"""The small files of a checkpoint tell its class, its sizes and its recipe. They lie in a folder or on the hub."""

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from launch.errors import LaunchError

T = TypeVar("T")

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


class Config(msgspec.Struct, frozen=True):
    """The parts of config.json that the launcher reads."""

    architectures: list[str] | None = None
    model_type: str | None = None
    num_labels: int | None = None
    id2label: dict[str, Any] | None = None
    num_hidden_layers: int = 0
    num_attention_heads: int = 1
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_size: int = 0
    max_position_embeddings: int | None = None
    pad_token_id: int | None = None
    tie_word_embeddings: bool | None = None
    text_config: "Config | None" = None


class LogitScore(msgspec.Struct, frozen=True):
    """The tokens whose logits are the score: that of the right answer, less that of the wrong one if there is one."""

    true_token_id: int
    false_token_id: int | None = None


class _Module(msgspec.Struct, frozen=True):
    """An entry of modules.json, which Sentence Transformers writes."""

    type: str = ""
    path: str = ""


class _TokenizerConfig(msgspec.Struct, frozen=True):
    """The part of tokenizer_config.json that the launcher reads."""

    chat_template: Any = None


class Checkpoint(msgspec.Struct, frozen=True):
    """The files of a checkpoint that were read.

    modules: the last parts of the classes in modules.json. revision: the commit, if the files came from the hub.
    """

    folder: Path
    config: Config
    modules: tuple[str, ...] = ()
    logit_score: LogitScore | None = None
    has_template: bool = False
    weights_bytes: int = 0
    revision: str | None = None

    @property
    def architecture(self) -> str | None:
        """The class in config.json."""
        return next(iter(self.config.architectures or ()), None)

    @property
    def labels(self) -> int:
        """Scores that a sequence classifier gives for a text. transformers writes the number if it is not two."""
        return self.config.num_labels or len(self.config.id2label or ()) or 2

    @property
    def has_tokenizer(self) -> bool:
        return (self.folder / "tokenizer.json").exists()

    def sizes(self) -> dict[str, Any]:
        """The fields of a model that config.json and the weights tell."""
        text = self.config.text_config or self.config
        sizes: dict[str, Any] = {
            "weights_gb": self.weights_bytes / 1e9,
            "layers": text.num_hidden_layers,
            "kv_heads": text.num_key_value_heads or text.num_attention_heads,
            "head_dim": text.head_dim or text.hidden_size // text.num_attention_heads,
        }
        if text.max_position_embeddings is not None:
            shift = (1 if text.pad_token_id is None else text.pad_token_id) + 1 if text.model_type in _SHIFTED else 0
            sizes["context"] = text.max_position_embeddings - shift
        if self.config.text_config:
            outer = self.config.tie_word_embeddings
            sizes["tie_word_embeddings"] = bool(text.tie_word_embeddings if outer is None else outer)
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
    config = _read(folder / "config.json", Config)
    modules = _read_optional(folder / "modules.json", list[_Module], [])
    kinds = [module.type.rpartition(".")[2] for module in modules]
    settings = _read_optional(folder / "tokenizer_config.json", _TokenizerConfig, _TokenizerConfig())
    score = folder / modules[kinds.index(LOGIT_SCORE)].path / "config.json" if LOGIT_SCORE in kinds else None
    return Checkpoint(
        folder,
        config,
        tuple(kinds),
        _read(score, LogitScore) if score else None,
        # A chat template is a file of its own, or was put among the tokenizer's settings, as was the custom before.
        (folder / "chat_template.jinja").exists() or bool(settings.chat_template),
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


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LaunchError(f"{path.parent} holds no readable {path.name}: {error}") from error


def _read_optional(path: Path, kind: type[T], otherwise: T) -> T:
    return _read(path, kind) if path.exists() else otherwise


def _weights(sizes: Mapping[str, int]) -> int:
    """Bytes of the weights among files of these names: those of safetensors, else those of PyTorch."""
    totals = (sum(size for name, size in sizes.items() if fnmatch(name, kind) and "/" not in name) for kind in _WEIGHTS)
    return next((total for total in totals if total), 0)
