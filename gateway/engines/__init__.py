"""Engines and what is known of them; today all speak vLLM's wire, the embedded one included."""

from gateway.engines.base import Engine, Examiner, Trust
from gateway.engines.client import EngineClient
from gateway.engines.lists import ListEngine
from gateway.engines.readiness import Readiness
from gateway.engines.status import EngineStatus
from gateway.engines.transport import EngineTransport
from gateway.engines.vllm import VllmEngine
from gateway.families.base import Unit

__all__ = [
    "ENGINES",
    "Engine",
    "EngineClient",
    "EngineStatus",
    "EngineTransport",
    "Examiner",
    "Readiness",
    "Trust",
    "VllmEngine",
]

ENGINES: dict[Unit, type[VllmEngine]] = {Unit.PAIR: VllmEngine, Unit.LIST: ListEngine}
