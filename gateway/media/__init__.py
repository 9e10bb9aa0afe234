"""Pictures and videos: loading what a request names, and preparing it as a model reads it."""
