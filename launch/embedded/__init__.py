"""Ranks text with all-MiniLM-L6-v2 on any processor, without torch, and speaks vLLM's wire."""
