"""The only place that knows how a model reads a pair."""
