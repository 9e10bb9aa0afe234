"""Cohere's Rerank API over open rerankers: validates, templates, truncates, scores, ranks."""
