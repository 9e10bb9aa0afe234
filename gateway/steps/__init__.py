"""The steps in the order in which they are taken: a new one is a file and a row here."""

from gateway.steps.base import Step
from gateway.steps.relevant_spans import RelevantSpans

__all__ = ["STEPS", "Step"]

STEPS: list[Step] = [RelevantSpans()]
