"""A model's tokenizer, twice: one that reads control tokens, one that reads a caller's text as text."""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from gateway.settings import ModelSettings, SettingsError

# Added tokens that stand for text: runs of spaces and newlines (Gemma's, ModernBERT's), and Gemma's HTML tags. An
# author's tokenizer reads them in any text, and no template is made of them.
_TEXT_SYMBOL = re.compile(
    r"[\s\u2581]+|</?(table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup|code)>"
)


class NotInRepositoryError(SettingsError):
    """The hub knows the repository, and that it has no such file."""


class Tokenizers(NamedTuple):
    """control reads `<|im_end|>` as a control token, text reads it as text. digest: of their file."""

    control: Tokenizer
    text: Tokenizer
    digest: str


def tokenizers_of(model: ModelSettings) -> Tokenizers:
    """The tokenizers of a model. Raises SettingsError in one line when they cannot be had."""
    try:
        source = file_of(model, "tokenizer.json").read_text(encoding="utf-8")
        control = Tokenizer.from_str(source)
        spec = json.loads(source)
        # Qwen lists <think> and others as added but not "special", and encode_special_tokens spares only special ones.
        for token in spec.get("added_tokens", ()):
            token["special"] = token["special"] or not _TEXT_SYMBOL.fullmatch(token["content"])
        text = Tokenizer.from_str(json.dumps(spec))
    except SettingsError:
        raise
    except Exception as error:  # tokenizers raises no kind of its own
        raise SettingsError(f"tokenizer: not a tokenizer.json ({type(error).__name__})") from None
    text.encode_special_tokens = True
    for tokenizer in (control, text):
        tokenizer.no_truncation()
        tokenizer.no_padding()
    return Tokenizers(control, text, digest_of(source))


def file_of(model: ModelSettings, name: str) -> Path:
    """A file of the folder or the repository that `tokenizer`, else `hub`, names. Raises SettingsError.

    Where `tokenizer` names a file, the others are looked for beside it.
    """
    source = model.tokenizer or model.hub
    if not source:
        raise SettingsError(f"tokenizer: the family {model.family} needs one, a folder or a hub id")
    path = Path(source)
    if path.is_dir():
        path = path / name
    elif path.is_file() and name != "tokenizer.json":
        path = path.with_name(name)
    if not path.is_file():
        path = _downloaded(source, name, model.revision)
    return path


def optional_file_of(model: ModelSettings, name: str) -> Path | None:
    """The same, and None where there is no such file. Raises SettingsError where that cannot be known."""
    source = Path(model.tokenizer or model.hub or "")
    if source.exists():
        path = source / name if source.is_dir() else source.with_name(name)
        return path if path.is_file() else None
    try:
        return file_of(model, name)
    except NotInRepositoryError:
        return None


def added_tokens(tokenizer: Tokenizer) -> list[str]:
    """Tokens that are obeyed wherever they stand in a template, by their text."""
    tokens = (token.content for token in tokenizer.get_added_tokens_decoder().values())
    return [token for token in tokens if not _TEXT_SYMBOL.fullmatch(token)]


def control_pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Finds every added token in a text."""
    added = sorted((token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len)
    return re.compile("|".join(map(re.escape, reversed(added))))


def without_control(control: re.Pattern[str], text: str) -> str:
    """The text with a zero-width space inside each control token, which then is plain text to any tokenizer."""
    return control.sub(lambda found: found[0][0] + "\u200b" + found[0][1:], text)


def _downloaded(hub: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download  # 0.3 s of import, needed only for a hub id

    try:
        return Path(hf_hub_download(hub, name, revision=revision))
    except Exception as error:  # whatever it raises (a dozen kinds), the operator needs this one line
        why = type(error).__name__
        # Its subclass for a machine that is offline says only that the file is not here.
        kind = NotInRepositoryError if why in ("EntryNotFoundError", "RemoteEntryNotFoundError") else SettingsError
        raise kind(f"tokenizer: {hub!r} is no folder with a {name}, and the hub did not give it ({why})") from None


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text, with nothing added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def first_tokens(tokenizer: Tokenizer, text: str, count: int) -> tuple[str, int]:
    """The text of the first `count` tokens, and how many were left out."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    return (text, 0) if len(offsets) <= count else (text[: offsets[count][0]], len(offsets) - count)


def leading_ids(tokenizer: Tokenizer) -> list[int]:
    """Tokens that the tokenizer itself puts before a text, say `<bos>`. Raises SettingsError where it ends one too."""
    plain, whole = ids_of(tokenizer, "a"), tokenizer.encode("a").ids
    leading: list[int] = whole[: len(whole) - len(plain)]
    if leading + plain != whole:
        raise SettingsError("tokenizer: it puts tokens behind a text, and this family's prompt has none there")
    return leading


class PairFrame(NamedTuple):
    """Tokens that the tokenizer itself puts around the two texts of a pair."""

    before: list[int]
    between: list[int]
    behind: list[int]


def pair_frame(tokenizer: Tokenizer) -> PairFrame | None:
    """The tokens around a pair; None where its second text has another token type, which token ids do not tell."""
    pair = tokenizer.encode("a", "a")
    if any(pair.type_ids):
        return None
    texts: list[int | None] = pair.sequence_ids
    length, second = texts.count(0), texts.index(1)
    first = texts.index(0)
    return PairFrame(pair.ids[:first], pair.ids[first + length : second], pair.ids[second + length :])


def digest_of(*parts: str) -> str:
    """32 hexadecimal digits that differ whenever a part does."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        # Each part is preceded by its length: else ("ab", "c") and ("a", "bc") would be one fingerprint.
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
