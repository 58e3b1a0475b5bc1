"""What keeps libraries from reporting to their makers, where they would. Imports nothing but the standard library."""

import os
from collections.abc import Mapping
from typing import Final

REFUSALS: Final[Mapping[str, str]] = {
    # As soon as it is imported, ONNX Runtime 1.31 writes an id of the device into the user's cache folder and begins to
    # ask DNS for its collector; its `disable_telemetry_events()` can only be called after the import.
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Variables by which a library is told to report nothing. The images, the compose file and the chart set them too."""


def refuse() -> None:
    """Tell all libraries to report nothing, whatever the environment said. To be called before they are imported:
    for ONNX Runtime worker/vision/session.py does, from which everybody has it.
    """
    os.environ.update(REFUSALS)
