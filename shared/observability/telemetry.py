"""Keeps libraries from reporting to their vendors. Imports only the standard library."""

import os
from collections.abc import Mapping
from typing import Final

REFUSALS: Final[Mapping[str, str]] = {
    # On import, ONNX Runtime 1.31 writes an id of the device into the user's cache folder and starts to resolve its
    # collector; its `disable_telemetry_events()` can only be called afterwards.
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Environment variables that turn reporting off. The images, the compose file and the chart set them, too."""


def refuse() -> None:
    """Set these variables, whatever the environment has. To be called before the libraries are imported;
    worker/vision/session.py does so for ONNX Runtime.
    """
    os.environ.update(REFUSALS)
