"""Engines by what they speak; today all speak vLLM's wire, the embedded one included."""

from gateway.engines.base import Engine, Tokens
from gateway.engines.doctor import Check, Doctor
from gateway.engines.vllm import VllmEngine

__all__ = ["Check", "Doctor", "Engine", "Tokens", "VllmEngine"]
