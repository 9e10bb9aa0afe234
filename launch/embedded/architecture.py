"""The shape of an encoder of BERT's kind."""

from dataclasses import dataclass
from typing import Literal

Head = Literal["mean", "bert", "roberta"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes that the tensors' own shapes do not tell, and the head.

    head: "mean" gives the mean of all tokens as a vector of length 1. "bert" and "roberta" give one logit of the first
    token, by the head that BertForSequenceClassification or XLMRobertaForSequenceClassification has.
    """

    layers: int
    heads: int
    epsilon: float
    head: Head
