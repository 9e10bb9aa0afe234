"""Gets a model's files from the Hugging Face hub, or from its cache on this machine."""

import sys
from dataclasses import dataclass
from pathlib import Path

from launch.embedded.weights import WeightsError

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder with a model's files. revision: the commit, or nothing for a folder that the user named."""

    folder: Path
    revision: str = ""


def find(model: str, revision: str | None, hub_cache: Path) -> Snapshot:
    """The files of a folder, or of a repository on the hub at `revision` (default: its newest commit).

    Downloads what is not in `hub_cache`, with a progress bar on stderr. A broken download is resumed five times.
    Raises WeightsError in one line.
    """
    folder = Path(model)
    if folder.is_dir():
        return Snapshot(folder)
    from huggingface_hub import snapshot_download  # only here: 0.3 s of import
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        path = snapshot_download(model, revision=revision, cache_dir=hub_cache, allow_patterns=list(FILES))
    except HFValidationError:
        raise WeightsError(f"{model} is neither a folder here nor the name of a model on the hub") from None
    except RepositoryNotFoundError:
        raise WeightsError(f"the hub has no model {model}, or HF_TOKEN may not read it") from None
    except RevisionNotFoundError:
        raise WeightsError(f"the hub has no revision {revision} of {model}") from None
    except Exception as error:  # of the network and of several libraries, which share no class
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(f"{model} is not in {hub_cache}, and the hub did not give it: {why}") from None
    commit = Path(path).name
    print(f"{model} at revision {commit}", file=sys.stderr, flush=True)
    return Snapshot(Path(path), commit)
