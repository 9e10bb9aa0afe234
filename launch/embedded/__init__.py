"""The embedded engine: small models on any processor, without torch, behind vLLM's wire."""
