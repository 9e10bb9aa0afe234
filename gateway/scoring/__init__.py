"""From pairs to scores: the cache, whoever already scores the pair, then the engine."""
