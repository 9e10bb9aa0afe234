"""Starts and watches engines: `vllm serve` or the embedded one, and the gateway in front of them."""
