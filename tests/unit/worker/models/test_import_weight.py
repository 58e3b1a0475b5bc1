"""Modules on the catalogue and identities load no heavy library, since commands and the store import them."""

import subprocess
import sys

import pytest

HEAVY = ("cv2", "numpy", "onnx", "onnxruntime", "simplejpeg")


@pytest.mark.parametrize("name", ["calibration", "catalog", "custom", "fetch", "files", "identity", "ranges"])
def test_a_module_on_models_loads_no_heavy_library(name: str) -> None:
    code = f"import sys, worker.models.{name}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
