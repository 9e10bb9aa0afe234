"""The embedded engine: all-MiniLM-L6-v2 on any processor, without torch, behind vLLM's wire."""
