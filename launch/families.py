"""The families of models.yaml, and the family of a checkpoint: told by its files or refused, never guessed."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from launch.checkpoint import LOGIT_SCORE, Checkpoint
from launch.errors import LaunchError

# Modules of Sentence Transformers that vLLM runs. Any other one changes the score, and vLLM leaves it out.
_RUN = {"Transformer", LOGIT_SCORE}
_CLASSIFIER = "ForSequenceClassification"
_DECODER = "ForCausalLM"


class Family(msgspec.Struct, frozen=True):
    """A recipe of models.yaml. `fields` are those that its models inherit; models.yaml explains the others."""

    fields: Mapping[str, Any]
    architectures: Mapping[str, Mapping[str, Any]] = {}
    told_by: Literal["class", "files"] | None = None
    author_files: bool = False

    def fields_of(self, architecture: str | None) -> dict[str, Any]:
        """The fields that a model of this class in config.json inherits."""
        return {**self.fields, **self.architectures.get(architecture or "", {})}

    def refusal(self, checkpoint: Checkpoint) -> str:
        """The reason why the family cannot read this checkpoint, or nothing."""
        name = checkpoint.architecture or ""
        if self.author_files:
            return _refusal_of_files(checkpoint)
        if name and self.architectures and name not in self.architectures:
            return f"its class is {name}"
        if more := [module for module in checkpoint.modules if module not in _RUN]:
            return f"its modules.json adds {', '.join(more)}, which vLLM leaves out"
        if name.endswith(_CLASSIFIER) and checkpoint.labels != 1:
            return f"it gives {checkpoint.labels} labels, and a reranker gives one"
        return ""


def family_of(checkpoint: Checkpoint, families: Mapping[str, Family]) -> str:
    """The one family that the files tell. Raises LaunchError with the families that fit, or why none does."""
    name = checkpoint.architecture
    if name is None:
        raise LaunchError(f"its config.json names no class: say which --family it is ({', '.join(families)})")
    refusals = {
        known: family.refusal(checkpoint)
        for known, family in families.items()
        if name in family.architectures or family.author_files
    }
    fitting = [known for known, refusal in refusals.items() if not refusal]
    told = [known for known in fitting if families[known].told_by]
    if len(told) == 1:
        return told[0]
    if fitting:
        choices = " or ".join(fitting)
        raise LaunchError(f"its class {name} does not tell its recipe, and no file of it does: say --family {choices}")
    reason = next((refusals[known] for known, family in families.items() if name in family.architectures), "")
    raise LaunchError(f"no family reads it: {reason or f'its class is {name}'} (families: {', '.join(families)})")


def confirm(checkpoint: Checkpoint, families: Mapping[str, Family], name: str) -> None:
    """Raise LaunchError if no family has this name, or if the checkpoint is outright another family's."""
    if name not in families:
        raise LaunchError(f"--family {name}: known families are {', '.join(families)}")
    if refusal := families[name].refusal(checkpoint):
        raise LaunchError(f"{name} is not its family: {refusal}")


def author_overrides(checkpoint: Checkpoint) -> dict[str, Any]:
    """The hf_overrides with which vLLM makes the one logit that the author's LogitScore makes. Raises LaunchError."""
    score, name = checkpoint.logit_score, checkpoint.architecture
    if score is None or name is None:
        raise LaunchError(f"{checkpoint.folder} holds no published recipe")
    ids = [number for number in (score.false_token_id, score.true_token_id) if number is not None]
    return {
        "architectures": [name.removesuffix(_DECODER) + _CLASSIFIER],
        "classifier_from_token": [checkpoint.token(number) for number in ids],
        "method": "no_post_processing" if len(ids) == 1 else "from_2_way_softmax",
    }


def _refusal_of_files(checkpoint: Checkpoint) -> str:
    """The reason why the author's files are no recipe that can be read, or nothing."""
    if checkpoint.logit_score is None:
        return f"its modules.json has no {LOGIT_SCORE}"
    if not (checkpoint.architecture or "").endswith(_DECODER):
        return f"its class is {checkpoint.architecture}, and {LOGIT_SCORE} is read of classes that end in {_DECODER}"
    if more := [module for module in checkpoint.modules if module not in _RUN]:
        return f"its modules.json adds {', '.join(more)}"
    if not checkpoint.has_tokenizer:
        return "it has no tokenizer.json"
    return "" if checkpoint.has_template else "it has no chat template"
