"""The embedded store: Qdrant's engine in the worker's process."""
