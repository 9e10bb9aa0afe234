"""Engines by what they speak; today all speak vLLM's wire, the embedded one included."""

from gateway.engines.base import Engine
from gateway.engines.doctor import Doctor
from gateway.engines.fleet import Fleet
from gateway.engines.vllm import VllmEngine

__all__ = ["Doctor", "Engine", "Fleet", "VllmEngine"]
